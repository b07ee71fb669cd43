"""Judged radiographs out of the record, as training reads them."""

import csv
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.records.export import inert
from service.records.facts import instance_hash
from service.records.opened import OpenRecord
from service.records.record import Verdict
from wscxr.errors import ConfigError
from wscxr.files import write_file
from wscxr.imaging import looks_like_dicom

MANIFEST = "reviews.csv"
"""Name of the manifest in the folder."""

_FACTS = ("view", "sex", "age_band", "manufacturer", "device")
"""Columns of the manifest by which subgroups are compared."""

Archive = Iterable[tuple[str, Callable[[], bytes]]]
"""Instances of a PACS: SOP Instance UID, and what pulls the file."""


@dataclass(frozen=True)
class Exported:
    """How many images were written, by verdict, and how many judged ones are missing."""

    abnormal: int
    normal: int
    missing: int


@dataclass(frozen=True)
class _Judged:
    verdict: str
    time: datetime
    analysis: str
    patient: str | None
    picture: str | None
    instance: str | None
    facts: list[object]


def export_judged(
    record: OpenRecord, out: Path, model: str | None, archive: Archive | None = None
) -> Exported:
    """Write the pictures of all analyses that were judged abnormal or normal.

    Parameters
    ----------
    record
        With a folder of pictures, unless there is an archive.
    out
        Folder to write; must not exist. Its files have the names of their contents, and patients
        their keyed hash; an image without a patient is a patient of its own. The manifest in it has
        the columns path, label, patient_id, analysis_id, and what is recorded of the image.
    model
        Only answers of this model; None for all.
    archive
        Instances of a PACS, where pictures that were not kept are looked for: the record holds a
        keyed hash of each UID, which the key makes of an instance's own again.

    Raises
    ------
    ConfigError
        The folder exists, or the record keeps no pictures and there is no archive.
    """
    if out.exists():
        raise ConfigError(f"{out} exists")
    if record.pictures is None and archive is None:
        raise ConfigError(
            "name the folder of pictures, --record-images or WSCXR_RECORD_IMAGES, or days to look "
            "for in the PACS, --dates"
        )
    written: dict[str, _Judged] = {}

    def write(one: _Judged, data: bytes) -> None:
        name = hashlib.sha256(data).hexdigest()
        write_file(out / "images" / f"{name}{_suffix(data)}", data)
        written[f"{name}{_suffix(data)}"] = one

    wanted: dict[str, _Judged] = {}
    missing = 0
    for one in _judged(record, model):
        data = None
        if one.picture is not None and record.pictures is not None:
            data = record.pictures.get(one.picture)
        if data is not None:
            write(one, data)
        elif one.instance is not None:
            wanted[one.instance] = one
        else:
            missing += 1
    if wanted and archive is not None:
        for sop, pull in archive:
            found = wanted.pop(instance_hash(sop, record.key), None)
            if found is not None:
                write(found, pull())
            if not wanted:
                break
    out.mkdir(parents=True, exist_ok=True)
    with (out / MANIFEST).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "patient_id", "analysis_id", *_FACTS])
        for file, one in written.items():
            patient = one.patient or file.partition(".")[0]
            writer.writerow([f"images/{file}", one.verdict, patient, one.analysis, *one.facts])
    verdicts = [one.verdict for one in written.values()]
    return Exported(
        verdicts.count(Verdict.ABNORMAL), verdicts.count(Verdict.NORMAL), missing + len(wanted)
    )


def _judged(record: OpenRecord, model: str | None) -> list[_Judged]:
    """The latest verdict on each picture, whichever analysis of it was judged."""
    latest: dict[str, _Judged] = {}
    for analysis, review in record.records.all():
        if review is None or model not in (None, analysis.model_name):
            continue
        one = _Judged(
            verdict=review.verdict,
            time=review.time,
            analysis=analysis.id,
            patient=analysis.patient_hash,
            picture=analysis.image_sha256,
            instance=analysis.instance_hash,
            facts=[inert(getattr(analysis, name) or "") for name in _FACTS],
        )
        key = one.instance or one.picture or one.analysis
        if key not in latest or latest[key].time <= one.time:
            latest[key] = one
    return [one for one in latest.values() if one.verdict != Verdict.UNSURE]


def _suffix(data: bytes) -> str:
    if looks_like_dicom(data):
        return ".dcm"
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"
