import pytest
from pydicom import Dataset

from wscxr.imaging.dicom.age import patient_age


@pytest.mark.parametrize(
    ("fields", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "026W"}, 0.498),
        ({"PatientAge": "010D"}, 0.027),
        ({"PatientAge": " 004y "}, 4),
        ({"PatientBirthDate": "20200101", "StudyDate": "20250701"}, 5.5),
        ({"PatientAge": "045Y", "PatientBirthDate": "20200101", "StudyDate": "20250701"}, 45),
        ({"PatientAge": "45"}, None),
        ({"PatientAge": "999Y"}, None),
        ({"PatientAge": ""}, None),
        ({}, None),
        ({"PatientBirthDate": "20200101"}, None),
        # Stands for an unknown date.
        ({"PatientBirthDate": "18000101", "StudyDate": "20250701"}, None),
        ({"PatientBirthDate": "20260101", "StudyDate": "20250701"}, None),
        ({"PatientBirthDate": "2020", "StudyDate": "20250701"}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_age_in_a_header(fields: dict[str, str], age: float | None) -> None:
    header = Dataset()
    for name, value in fields.items():
        setattr(header, name, value)
    found = patient_age(header)
    assert found == (None if age is None else pytest.approx(age, abs=0.01))
