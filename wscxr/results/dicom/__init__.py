"""A scored radiograph -> DICOM objects of the same study, through highdicom.

Needs the extra ``[dicom]``. Doing the work twice gives the same objects, byte for byte.
"""

import io
from collections.abc import Callable, Sequence

from pydicom import Dataset

from wscxr.bundle.store import Prediction
from wscxr.imaging import Radiograph
from wscxr.imaging.dicom.quiet import silence_pydicom
from wscxr.results.dicom.fixing import fix
from wscxr.results.dicom.gsps import presentation_state
from wscxr.results.dicom.identity import Algorithm, ResultKind, Target, is_own_result
from wscxr.results.dicom.secondary_capture import secondary_capture
from wscxr.results.dicom.segmentation import segmentation
from wscxr.results.dicom.source import evidence
from wscxr.results.dicom.structured_report import structured_report
from wscxr.results.png import ColourScale

__all__ = [
    "DEFAULT_KINDS",
    "Algorithm",
    "ResultKind",
    "is_own_result",
    "make_results",
    "to_bytes",
]

silence_pydicom()

DEFAULT_KINDS = (ResultKind.SC, ResultKind.SR)

_MAKERS: dict[ResultKind, Callable[[Target], Dataset]] = {
    ResultKind.SC: secondary_capture,
    ResultKind.SR: structured_report,
    ResultKind.SEGMENTATION: segmentation,
    ResultKind.GSPS: presentation_state,
}


def make_results(
    radiograph: Radiograph,
    prediction: Prediction,
    algorithm: Algorithm,
    scale: ColourScale,
    kinds: Sequence[ResultKind] = DEFAULT_KINDS,
) -> dict[ResultKind, Dataset]:
    """Make DICOM objects of what a bundle says of a radiograph.

    Each kind is a series of its own in the study of the source, for a series has one modality
    (PS3.3, C.7.3.1). Patient and study are copied from the source, and its character set is kept.

    Parameters
    ----------
    radiograph
        Read from a DICOM file.
    prediction
        What the bundle says of it.
    algorithm
        The bundle.
    scale
        The bundle's colour scale.
    kinds
        Which objects are made.

    Raises
    ------
    ValueError
        The radiograph was not read from a DICOM file.
    """
    if radiograph.header is None:
        raise ValueError("only a radiograph that was read from DICOM has a study to go into")
    source = evidence(radiograph.header)
    results = {}
    for kind in kinds:
        target = Target(kind, source, radiograph, prediction, algorithm, scale)
        results[kind] = fix(_MAKERS[kind](target), target)
    return results


def to_bytes(result: Dataset) -> bytes:
    """Encode a result as a DICOM file (PS3.10)."""
    buffer = io.BytesIO()
    result.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
