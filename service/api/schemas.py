"""What the service answers, as it stands in the OpenAPI document."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.http import examples
from wscxr.bundle.identity import ModelIdentity
from wscxr.imaging import InputConfig
from wscxr.model.calibration import Decision
from wscxr.model.detector import ScoreRule
from wscxr.model.weights import WeightsSource
from wscxr.results.png import MapStyle


class _Answer(BaseModel):
    # from_attributes: answers are filled straight from the objects they describe.
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Problem(_Answer):
    """An error, as RFC 9457 describes them; match on `code`."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str = Field(description="URN of the kind of error; holds the code.")
    title: str = Field(description="The kind of error, for people.")
    status: int = Field(ge=400, le=599, description="HTTP status.")
    detail: str = Field(description="What happened this time, for people.")
    code: str = Field(description="The kind of error, for programs; never changes.")
    request_id: str = Field(description="Id of the request; the log has it too.")


class ImageInfo(_Answer):
    """The image as read."""

    width: int = Field(ge=1, description="Columns, in pixels, upright.")
    height: int = Field(ge=1, description="Rows, in pixels, upright.")
    format: str = Field(description="Container, recognised by its bytes: PNG, JPEG or DICOM.")
    bits: int = Field(description="Bits per grey value: 8 or 16.")


class TimingsMs(_Answer):
    """Milliseconds spent on this image."""

    decode: float = Field(ge=0, description="Reading it and preparing the model input.")
    queue: float = Field(ge=0, description="Waiting for its batch to start.")
    inference: float = Field(ge=0, description="Computing the batch it was in.")
    encode: float = Field(ge=0, description="Drawing and compressing the map; 0 without one.")
    total: float = Field(ge=0, description="From the end of the upload to the result.")


class MapDelivery(StrEnum):
    """How an anomaly map is delivered with a JSON answer."""

    NONE = "none"
    URL = "url"
    BASE64 = "base64"


class MapLink(_Answer):
    """An anomaly map that can be fetched for a while."""

    style: MapStyle = Field(description="How it is drawn.")
    url: str = Field(description="Path of the PNG on this service.")


class MapData(_Answer):
    """An anomaly map in the answer itself."""

    style: MapStyle = Field(description="How it is drawn.")
    media_type: Literal["image/png"] = "image/png"
    base64: str = Field(description="The PNG, base64 (RFC 4648, section 4).")


class PredictionResult(_Answer):
    """What the detector says of one radiograph. Research use only; not a medical device."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PREDICTION]})

    id: UUID = Field(description="Id of this result; fetches its map when delivered by URL.")
    model: ModelIdentity
    score: float = Field(description="Image-level anomaly score, unbounded; higher is stranger.")
    p_value: float = Field(
        gt=0, le=1, description="Conformal p-value: share of normals with such a score or higher."
    )
    threshold: float = Field(description="Scores above it are called abnormal.")
    decision: Decision = Field(description="What the score says at the threshold.")
    ood_score: Annotated[float, Field(ge=0)] | None = Field(
        description="Above 1 the image is unlike the training images; its score means little. "
        "Null where the model has no OOD scorer, which a warning says, too.",
    )
    image: ImageInfo
    timings_ms: TimingsMs
    map: MapLink | MapData | None = Field(description="The anomaly map, when asked for.")
    warnings: list[str] = Field(
        description="What must be known to read the score: of the model, and of this image."
    )


class BatchItem(_Answer):
    """The result or the error of one file; one of the two is null."""

    index: int = Field(ge=0, description="Place of the file in the request, from 0.")
    result: PredictionResult | None
    error: Problem | None


class BatchResult(_Answer):
    """One item per file, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH]})

    id: UUID = Field(description="Id of the request.")
    items: list[BatchItem]


class BackboneFacts(_Answer):
    """The frozen network a bundle looks through."""

    architecture: str = Field(description="torchvision's name of it.")
    layers: tuple[str, ...] = Field(description="The layers whose outputs are used.")
    source: WeightsSource = Field(description="Where its weights came from.")


class CalibrationFacts(_Answer):
    """Where the threshold comes from."""

    threshold: float = Field(description="Scores above it are called abnormal.")
    false_alarm_rate: float = Field(description="The share of normals that was asked for.")
    expected_false_alarm_rate: float = Field(description="The share that can be promised.")
    n: int = Field(ge=1, description="Normal images kept aside for calibration.")


class TrainingFacts(_Answer):
    """How a bundle was trained, and on how much."""

    method: str = Field(description="Name of the method.")
    n_normal: int = Field(description="Normal images.")
    n_calibration: int = Field(description="Normal images kept aside for calibration.")
    k: int = Field(description="Anomaly images (K); 0 where the method uses none.")
    seed: int = Field(description="Seed of the run.")


class ModelSummary(ModelIdentity):
    """A loaded bundle."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SUMMARY]})

    default: bool = Field(description="Whether it answers requests that name no model.")
    backbone: BackboneFacts
    input: InputConfig = Field(description="How a radiograph becomes a model input.")
    p: int = Field(ge=1, description="Side of the neighbourhood of a patch feature.")
    score_rule: ScoreRule = Field(description="How the map becomes one score.")
    calibration: CalibrationFacts
    training: TrainingFacts
    warnings: list[str] = Field(description="What must be known of the model to read a score.")


class ModelDetail(ModelSummary):
    """A loaded bundle with its model card."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DETAIL]})

    card: str = Field(description="The model card, Markdown.")


class ModelList(_Answer):
    """Every loaded bundle, by name."""

    models: list[ModelSummary]


class Health(_Answer):
    """That the service is up."""

    status: Annotated[Literal["live", "ready"], Field(description="live or ready.")]
