"""What makes a result the same each time it is made."""

from pydicom import DataElement, Dataset
from pydicom.uid import UID

from wscxr.results.dicom.identity import ResultKind, Target

_RANDOM_ROOT = "1.2.826.0.1.3680043.10.511.3."
"""Under this highdicom makes UIDs at random."""

_DATES = frozenset(
    {"ContentDate", "InstanceCreationDate", "PresentationCreationDate", "DateOfSecondaryCapture"}
)
_TIMES = frozenset(
    {"ContentTime", "InstanceCreationTime", "PresentationCreationTime", "TimeOfSecondaryCapture"}
)
_MOMENTS = frozenset({"ContributionDateTime", "ObservationDateTime", "DateTime"})


def fix(result: Dataset, target: Target) -> Dataset:
    """Put derived UIDs for random ones, and the time of the study for that of the work.

    When the work was done is of no use to who reads the result, and would make two objects of one.

    Parameters
    ----------
    result
        As highdicom made it; changed.
    target
        What it was made of.
    """
    source = target.source
    date = str(source.get("StudyDate") or source.get("ContentDate") or "19000101")
    time = str(source.get("StudyTime") or source.get("ContentTime") or "000000")
    derived: dict[str, UID] = {}

    def visit(_: Dataset, element: DataElement) -> None:
        if element.keyword in _DATES:
            element.value = date
        elif element.keyword in _TIMES:
            element.value = time
        elif element.keyword in _MOMENTS:
            element.value = date + time
        elif element.VR == "UI" and str(element.value).startswith(_RANDOM_ROOT):
            part = target.uid("part", str(len(derived)))
            element.value = derived.setdefault(str(element.value), part)

    result.walk(visit)
    # Type 2C of General Series and General Image (PS3.3, C.7.3.1, C.7.6.1): there, if only empty.
    chest = source.get("BodyPartExamined") == "CHEST"
    if target.kind is ResultKind.GSPS or (target.kind is ResultKind.SC and not chest):
        result.Laterality = source.get("Laterality") or ""
    if target.kind in (ResultKind.SC, ResultKind.SEGMENTATION):
        result.PatientOrientation = source.get("PatientOrientation") or None
    if source.get("SpecificCharacterSet"):
        result.SpecificCharacterSet = source.SpecificCharacterSet
    return result
