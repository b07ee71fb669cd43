"""Judged radiographs out of the record, as training reads them."""

import csv
from dataclasses import dataclass
from pathlib import Path

from service.records.opened import OpenRecord
from service.records.record import Verdict
from wscxr.errors import ConfigError
from wscxr.files import write_file
from wscxr.imaging import looks_like_dicom

MANIFEST = "reviews.csv"
"""Name of the manifest in the folder: path, label, patient_id, analysis_id."""


@dataclass(frozen=True)
class Exported:
    """How many images were written, by verdict, and how many judged ones are not kept."""

    abnormal: int
    normal: int
    missing: int


def export_judged(record: OpenRecord, out: Path, model: str | None) -> Exported:
    """Write the kept pictures of all analyses that were judged abnormal or normal.

    Parameters
    ----------
    record
        With a folder of pictures.
    out
        Folder to write; must not exist. Its files have the names of their contents, and patients
        their keyed hash; an image without a patient is a patient of its own.
    model
        Only answers of this model; None for all.

    Raises
    ------
    ConfigError
        The folder exists, or the record keeps no pictures.
    """
    if out.exists():
        raise ConfigError(f"{out} exists")
    if record.pictures is None:
        raise ConfigError("name the folder of pictures: --record-images, or WSCXR_RECORD_IMAGES")
    # The latest verdict on a picture stands, whichever analysis of it was judged.
    judged: dict[str, tuple[str, str, str]] = {}
    missing = 0
    for analysis, review in record.records.all():
        if review is None or review.verdict == Verdict.UNSURE:
            continue
        if model is not None and analysis.model_name != model:
            continue
        name = analysis.image_sha256
        data = None if name is None else record.pictures.get(name)
        if name is None or data is None:
            missing += 1
            continue
        file = f"{name}{_suffix(data)}"
        write_file(out / "images" / file, data)
        judged[file] = (review.verdict, analysis.patient_hash or name, analysis.id)
    out.mkdir(parents=True, exist_ok=True)
    with (out / MANIFEST).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "patient_id", "analysis_id"])
        for file, facts in judged.items():
            writer.writerow([f"images/{file}", *facts])
    verdicts = [verdict for verdict, _, _ in judged.values()]
    return Exported(verdicts.count("abnormal"), verdicts.count("normal"), missing)


def _suffix(data: bytes) -> str:
    if looks_like_dicom(data):
        return ".dcm"
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"
