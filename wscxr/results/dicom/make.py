"""The way from a prediction to DICOM objects that are the same each time they are made."""

import io
from collections.abc import Callable, Sequence

from pydicom import DataElement, Dataset
from pydicom.uid import UID

from wscxr.prediction import Prediction
from wscxr.process import quiet_dicom
from wscxr.results.dicom.capture import Capture
from wscxr.results.dicom.gsps import presentation_state
from wscxr.results.dicom.identity import DEFAULT_KINDS, ResultKind
from wscxr.results.dicom.secondary_capture import secondary_capture
from wscxr.results.dicom.segmentation import segmentation
from wscxr.results.dicom.source import UNICODE
from wscxr.results.dicom.structured_report import structured_report
from wscxr.results.dicom.target import Target, evidence

_MAKERS: dict[ResultKind, Callable[[Target], Dataset]] = {
    ResultKind.SC: secondary_capture,
    ResultKind.SR: structured_report,
    ResultKind.SEGMENTATION: segmentation,
    ResultKind.GSPS: presentation_state,
}

_RANDOM_ROOT = "1.2.826.0.1.3680043.10.511.3."
"""Under this highdicom makes UIDs at random."""

_DATES = frozenset(
    {"ContentDate", "InstanceCreationDate", "PresentationCreationDate", "DateOfSecondaryCapture"}
)
_TIMES = frozenset(
    {"ContentTime", "InstanceCreationTime", "PresentationCreationTime", "TimeOfSecondaryCapture"}
)
_MOMENTS = frozenset({"ContributionDateTime", "ObservationDateTime", "DateTime"})


def make_results(
    prediction: Prediction,
    kinds: Sequence[ResultKind] = DEFAULT_KINDS,
    capture: Capture | None = None,
) -> dict[ResultKind, Dataset]:
    """Make DICOM objects of what a bundle says of a radiograph.

    Each kind is a series of its own in the study of the source, for a series has one modality
    (PS3.3, C.7.3.1). Patient and study are copied from the source, in Unicode;
    its invalid values are not.

    Parameters
    ----------
    prediction
        Of a radiograph that was read from a DICOM file, which it holds.
    kinds
        Which objects are made.
    capture
        How secondary captures are drawn and encoded; None for the defaults.

    Raises
    ------
    ValueError
        The prediction holds no radiograph that was read from a DICOM file.
    """
    radiograph = prediction.radiograph
    if radiograph is None or radiograph.header is None:
        raise ValueError("only a radiograph that was read from DICOM has a study to go into")
    with quiet_dicom:
        source = evidence(radiograph.header)
        drawn = capture or Capture()
        targets = [Target(kind, source, radiograph, prediction, drawn) for kind in kinds]
        return {target.kind: _fix(_MAKERS[target.kind](target), target) for target in targets}


def to_bytes(result: Dataset) -> bytes:
    """Encode a result as a DICOM file (PS3.10)."""
    buffer = io.BytesIO()
    with quiet_dicom:
        result.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _fix(result: Dataset, target: Target) -> Dataset:
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
    result.SpecificCharacterSet = UNICODE
    return result
