"""What is recorded of a radiograph: hashes in place of UIDs, bands in place of ages."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.records.keys import RecordKey
from service.records.record import RecordedImage
from wscxr.anatomy import ModelInput
from wscxr.imaging import InputConfig, Radiograph
from wscxr.imaging.statistics import ImageStatistics, image_statistics

if TYPE_CHECKING:
    from pydicom import Dataset

_AGE = re.compile(r"(\d{3})([DWMY])")
_SEXES = frozenset({"F", "M", "O"})
_VIEW = re.compile(r"[A-Z]{1,16}")
_LONGEST = 64


@dataclass(frozen=True)
class Facts:
    """Facts of one radiograph.

    Attributes
    ----------
    image
        What may be shown of it.
    statistics
        Of its model input.
    instance_hash, study_hash, patient_hash
        Keyed hashes of SOP Instance UID, Study Instance UID and Patient ID; None where the header
        lacks them, or there is none.
    """

    image: RecordedImage
    statistics: ImageStatistics
    instance_hash: str | None
    study_hash: str | None
    patient_hash: str | None


def facts_of(
    radiograph: Radiograph, prepared: ModelInput, config: InputConfig, key: RecordKey
) -> Facts:
    """Collect what is recorded of a radiograph.

    Parameters
    ----------
    radiograph, prepared
        As read, and as the detector sees it.
    config
        What the model input was made with.
    key
        Makes the hashes.
    """
    header = radiograph.header
    return Facts(
        image=RecordedImage(
            rows=radiograph.height,
            columns=radiograph.width,
            bits=radiograph.bits,
            manufacturer=_text(header, "Manufacturer"),
            device=_text(header, "ManufacturerModelName"),
            view=_view(header),
            age_band=_age_band(header),
            sex=_sex(header),
        ),
        statistics=image_statistics(prepared.tensor, config),
        instance_hash=_hash(header, "SOPInstanceUID", key),
        study_hash=_hash(header, "StudyInstanceUID", key),
        patient_hash=_hash(header, "PatientID", key),
    )


def study_hash(study: str, key: RecordKey) -> str:
    """The hash under which a Study Instance UID is recorded."""
    return key.digest("StudyInstanceUID", study.strip().encode())


def instance_hash(sop: str, key: RecordKey) -> str:
    """The hash under which a SOP Instance UID is recorded."""
    return key.digest("SOPInstanceUID", sop.strip().encode())


def _value(header: "Dataset | None", name: str) -> str:
    return "" if header is None else str(header.get(name) or "").strip()


def _text(header: "Dataset | None", name: str) -> str | None:
    """A short printable text; equipment names itself in all sorts of ways."""
    value = "".join(each for each in _value(header, name) if each.isprintable())
    return value[:_LONGEST] or None


def _view(header: "Dataset | None") -> str | None:
    value = _value(header, "ViewPosition").upper()
    return value if _VIEW.fullmatch(value) else None


def _sex(header: "Dataset | None") -> str | None:
    value = _value(header, "PatientSex").upper()
    return value if value in _SEXES else None


def _age_band(header: "Dataset | None") -> str | None:
    """Band of ten years of Patient's Age (0010,1010), an Age String (PS3.5, 6.2)."""
    found = _AGE.fullmatch(_value(header, "PatientAge").upper())
    if found is None:
        return None
    years = int(found[1]) if found[2] == "Y" else 0
    # Few people are older; a band of their own would name them.
    return "90+" if years >= 90 else f"{years // 10 * 10}-{years // 10 * 10 + 9}"


def _hash(header: "Dataset | None", name: str, key: RecordKey) -> str | None:
    value = _value(header, name)
    return key.digest(name, value.encode()) if value else None
