"""How old the patient of a DICOM radiograph is, for choosing the bundle that is for them."""

import re
from datetime import date, datetime

from pydicom import Dataset

from wscxr.imaging.dicom.parsing import parse
from wscxr.imaging.limits import ImageLimits
from wscxr.process import quiet_dicom

_AGE = re.compile(r"(\d{3})([DWMY])")
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_OLDEST = 130
"""Above it an age is a mistake, or a date of birth that stands for none, such as 18000101."""


def read_age(data: bytes, limits: ImageLimits) -> float | None:
    """Read the patient's age from a DICOM file, without decoding a pixel.

    Parameters
    ----------
    data
        A file that `looks_like_dicom`.
    limits
        See `wscxr.imaging.dicom.parsing.parse`, for the errors too.

    Returns
    -------
    float or None
        See `patient_age`.
    """
    with quiet_dicom:
        return patient_age(parse(data, limits))


def patient_age(header: Dataset) -> float | None:
    """The patient's age when the radiograph was taken.

    Patient's Age (0010,1010), an Age String (PS3.5, 6.2); else the time from Patient's Birth Date
    (0010,0030) to Study Date (0008,0020).

    Returns
    -------
    float or None
        In years, from 0 to 130; None where the header does not say it.
    """
    found = _AGE.fullmatch(str(header.get("PatientAge") or "").strip().upper())
    if found is not None:
        years = int(found[1]) / _PER_YEAR[found[2]]
    else:
        born, taken = _date(header.get("PatientBirthDate")), _date(header.get("StudyDate"))
        if born is None or taken is None:
            return None
        years = (taken - born).days / _PER_YEAR["D"]
    return years if 0 <= years <= _OLDEST else None


def _date(value: object) -> date | None:
    try:
        # Without a time zone: the date is as the hospital wrote it.
        return datetime.strptime(str(value or "").strip(), "%Y%m%d").date()
    except ValueError:
        return None
