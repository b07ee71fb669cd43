"""Which DICOM instance is meant, and what its header says."""

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Self

import pydicom
from pydicom.dataset import Dataset

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MAX_UID = 64


def is_uid(text: str) -> bool:
    """Whether this has the form of a UID (PS3.5, section 9.1): such a one is safe in a URL."""
    return len(text) <= _MAX_UID and _UID.fullmatch(text) is not None


@dataclass(frozen=True)
class Instance:
    """Study, Series and SOP Instance UID.

    Raises
    ------
    ValueError
        One of them is no UID.
    """

    study: str
    series: str
    sop: str

    def __post_init__(self) -> None:
        if not all(map(is_uid, astuple(self))):
            raise ValueError("not a UID")

    @classmethod
    def from_header(cls, header: Dataset) -> Self:
        """Take the three UIDs from a header."""
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        return cls(*(str(header.get(name, "")) for name in names))

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Take the three UIDs from a DICOM file.

        Raises
        ------
        ValueError
            It is no DICOM file, or lacks one of them.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their text would show values
            try:
                header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
                return cls.from_header(header)
            except Exception:  # noqa: BLE001 - pydicom raises all sorts of errors on damaged files
                raise ValueError("not a DICOM file") from None

    @property
    def path(self) -> str:
        """Its resource below the root of a DICOMweb server (PS3.18, section 10.4)."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.sop}"


def header_from_json(item: Mapping[str, Any]) -> Dataset:
    """Read one object of the DICOM JSON model (PS3.18, annex F), without bulk data.

    Raises
    ------
    ValueError
        It is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their text would show values
        try:
            kept = {tag: value for tag, value in item.items() if "BulkDataURI" not in value}
            return Dataset.from_json(kept)
        except Exception:  # noqa: BLE001 - pydicom raises all sorts of errors on damaged objects
            raise ValueError("not an object of the DICOM JSON model") from None


def tag(text: str) -> str:
    """Short digest that stands for an identifier in logs."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
