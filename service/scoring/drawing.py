"""What can be made of a scored radiograph, as `Draw` functions for the pipeline."""

from collections.abc import Sequence
from typing import Literal

from service.http.multipart import related
from service.scoring.pipeline import Draw
from service.scoring.registry import Model
from wscxr.bundle.store import Prediction
from wscxr.imaging import Radiograph
from wscxr.results.png import MapStyle, map_png


def map_drawer(style: MapStyle) -> Draw:
    """Draw the anomaly map as PNG."""

    def draw(model: Model, radiograph: Radiograph, prediction: Prediction) -> bytes:
        scale = model.bundle.manifest.colour_scale
        return map_png(radiograph, prediction.anomaly_map, style, scale)

    return draw


ResultName = Literal["sc", "sr", "seg", "gsps"]
"""Names of `wscxr.results.dicom.ResultKind`, which needs the extra [dicom]."""


def dicom_drawer(names: Sequence[ResultName]) -> Draw:
    """Make DICOM objects: one as it is, several as ``multipart/related`` (RFC 2387)."""

    def draw(model: Model, radiograph: Radiograph, prediction: Prediction) -> bytes:
        # Only a DICOM file comes here, so the extra is there: it was needed to read the file.
        from wscxr.results.dicom import Algorithm, ResultKind, make_results, to_bytes

        manifest = model.bundle.manifest
        results = make_results(
            radiograph,
            prediction,
            Algorithm(model.name, model.version, manifest.sha256),
            manifest.colour_scale,
            [ResultKind(name) for name in names],
        )
        files = [to_bytes(result) for result in results.values()]
        return files[0] if len(names) == 1 else related(files)

    return draw
