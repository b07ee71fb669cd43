"""What can be made of a scored radiograph, as `Draw` functions for the pipeline."""

from collections.abc import Sequence
from typing import Literal

from service.http.multipart import related
from service.scoring.pipeline import Draw
from wscxr.prediction import Prediction
from wscxr.results.png import MapStyle


def map_drawer(style: MapStyle) -> Draw:
    """Draw the anomaly map as PNG."""
    return lambda prediction: prediction.png(style)


ResultName = Literal["sc", "sr", "seg", "gsps"]
"""Names of `wscxr.results.dicom.identity.ResultKind`."""


def dicom_drawer(names: Sequence[ResultName]) -> Draw:
    """Make DICOM objects: one as it is, several as ``multipart/related`` (RFC 2387)."""

    def draw(prediction: Prediction) -> bytes:
        # Only a DICOM file comes here, so the extra is there: it was needed to read the file.
        from wscxr.results.dicom.identity import ResultKind
        from wscxr.results.dicom.make import make_results, to_bytes

        results = make_results(prediction, [ResultKind(name) for name in names])
        files = [to_bytes(result) for result in results.values()]
        return files[0] if len(names) == 1 else related(files)

    return draw
