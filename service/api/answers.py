"""From an outcome to what goes over the wire."""

import base64

from service.api.schemas import (
    ImageInfo,
    MapData,
    MapLink,
    PredictionResult,
    TimingsMs,
)
from service.scoring.pipeline import Outcome
from wscxr.results.png import MapStyle, raw_scale


def to_result(
    result_id: str, outcome: Outcome, anomaly_map: MapLink | MapData | None
) -> PredictionResult:
    """Say in JSON what the detector said of one image.

    Parameters
    ----------
    result_id
        Id of the result, a UUID.
    outcome
        What it said.
    anomaly_map
        The map, delivered in one way or another; None for none.
    """
    prediction = outcome.prediction
    return PredictionResult(
        id=result_id,
        model=prediction.model,
        score=prediction.score,
        p_value=prediction.p_value,
        threshold=prediction.threshold,
        decision=prediction.decision,
        ood_score=prediction.ood_score,
        image=ImageInfo.model_validate(outcome.image),
        timings_ms=TimingsMs.model_validate(outcome.timings),
        map=anomaly_map,
        warnings=outcome.warnings,
    )


def to_map_data(png: bytes, style: MapStyle) -> MapData:
    """Put a map into the JSON itself."""
    return MapData(style=style, base64=base64.b64encode(png).decode())


def to_headers(result_id: str, outcome: Outcome, style: MapStyle | None = None) -> dict[str, str]:
    """Say in the headers what `to_result` says in JSON; numbers read back exactly."""
    prediction = outcome.prediction
    headers = {
        "X-Result-ID": result_id,
        "X-Score": repr(prediction.score),
        "X-P-Value": repr(prediction.p_value),
        "X-Threshold": repr(prediction.threshold),
        "X-Decision": prediction.decision.value,
        "X-Model-Name": prediction.model.name,
        "X-Model-Version": prediction.model.version,
        "X-Model-SHA256": prediction.model.sha256,
    }
    if prediction.ood_score is not None:
        headers["X-OOD-Score"] = repr(prediction.ood_score)
    if style is MapStyle.RAW16:
        scale = raw_scale(prediction.anomaly_map)
        headers["X-Score-Offset"] = repr(scale.offset)
        headers["X-Score-Slope"] = repr(scale.slope)
    return headers
