"""What the service answers for one radiograph."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from wscxr.anatomy.facts import LungFacts
from wscxr.bundle.identity import ModelIdentity
from wscxr.model.calibration import Decision
from wscxr.prediction import Prediction
from wscxr.results.dicom.capture import Capture
from wscxr.results.dicom.identity import ResultKind
from wscxr.results.png import MapStyle

T = TypeVar("T")

EXAMPLE: JsonDict = {
    "id": "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55",
    "model": {
        "name": "chest",
        "version": "1.2.0",
        "sha256": "9f2c0d0c54c1f0a7c8b0a2f2f1c7b0d8a7e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2",
    },
    "score": 0.8134,
    "p_value": 0.0198,
    "threshold": 0.5127,
    "decision": "abnormal",
    "ood_score": 0.7841,
    "model_choice": None,
    "lung_fields": {
        "found": True,
        "box": {"left": 310, "top": 192, "right": 2204, "bottom": 1730},
        "area_share": 0.342,
        "map_share": 0.871,
    },
    "image": {"width": 2500, "height": 2048, "format": "PNG", "bits": 8},
    "timings_ms": {"decode": 61.2, "queue": 0.2, "inference": 31.9, "encode": 0.0, "total": 94.1},
    "map": None,
    "warnings": [],
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class ImageInfo(_Part):
    """The image as read."""

    width: int = Field(ge=1, description="Columns, in pixels, upright.")
    height: int = Field(ge=1, description="Rows, in pixels, upright.")
    format: str = Field(description="Container, recognised by its bytes: PNG, JPEG or DICOM.")
    bits: int = Field(description="Bits per pixel in the file: 8 or 16.")


class TimingsMs(_Part):
    """Milliseconds spent on this image."""

    decode: float = Field(ge=0, description="Reading it and preparing the model input.")
    queue: float = Field(ge=0, description="Waiting for its batch to start.")
    inference: float = Field(ge=0, description="Computing the batch it was in.")
    encode: float = Field(ge=0, description="Drawing and compressing the map; 0 without one.")
    total: float = Field(ge=0, description="From the end of the upload to the result.")


class MapLink(_Part):
    """An anomaly map that can be fetched for a while."""

    style: MapStyle = Field(description="How it is drawn.")
    url: str = Field(description="Path of the PNG on this service.")


class MapData(_Part):
    """An anomaly map in the answer itself."""

    style: MapStyle = Field(description="How it is drawn.")
    media_type: Literal["image/png"] = "image/png"
    base64: str = Field(description="The PNG, base64 (RFC 4648, section 4).")


class ModelChoice(_Part):
    """Why this model answers a request with `model=auto`."""

    by: Literal["age", "ood_score", "only"] = Field(
        description="age: the patient's, and the ages that the model is for; ood_score: the lowest "
        "of all candidates; only: there is no other."
    )
    reason: str = Field(description="The same in words, with the numbers.")


class AnalysisResult(_Part):
    """What the service answers for one radiograph. Research use only; not a medical device."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: UUID = Field(description="Id of this result; fetches its map when delivered by URL.")
    model: ModelIdentity
    model_choice: ModelChoice | None = Field(
        default=None, description="Why this model, with `model=auto`; null otherwise."
    )
    score: float = Field(
        description="Image-level anomaly score, unbounded; higher is more anomalous."
    )
    p_value: float = Field(
        gt=0, le=1, description="Conformal p-value: share of normals with such a score or higher."
    )
    threshold: float = Field(description="Scores above it are called abnormal.")
    decision: Decision = Field(description="normal or abnormal: what the score says.")
    ood_score: Annotated[float, Field(ge=0)] | None = Field(
        description="Above 1 the image is unlike the training images, and its score means little. "
        "Null, with a warning, where the model has no OOD scorer."
    )
    lung_fields: LungFacts | None = Field(
        default=None,
        description="The lung fields; null where the model does not look for them.",
    )
    image: ImageInfo
    timings_ms: TimingsMs
    map: MapLink | MapData | None = Field(
        default=None, description="The anomaly map, when asked for."
    )
    warnings: list[str] = Field(
        description="What a reader of the score must know: of the model, and of this image."
    )

    @classmethod
    def of(
        cls, result_id: UUID, prediction: Prediction, image: ImageInfo, timings: TimingsMs
    ) -> "AnalysisResult":
        """Answer with a prediction."""
        said = {name: getattr(prediction, name) for name in ("model", *SCORE_FIELDS)}
        warnings = list(prediction.warnings)
        return cls(
            id=result_id,
            lung_fields=prediction.lung_fields,
            image=image,
            timings_ms=timings,
            warnings=warnings,
            **said,
        )

    def headers(self) -> dict[str, str]:
        """Write the result as the headers of `score_headers`; numbers read back exactly."""
        model = {f"model_{name}": value for name, value in self.model.model_dump().items()}
        scores = {name: getattr(self, name) for name in SCORE_FIELDS}
        choice = None if self.model_choice is None else self.model_choice.by
        values = {"result_id": self.id, **scores, **model, "model_choice": choice}
        return {
            header_name(name): repr(value) if isinstance(value, float) else str(value)
            for name, value in values.items()
            if value is not None
        }


SCORE_FIELDS = tuple(
    name
    for name in AnalysisResult.model_fields
    if name in {field.name for field in fields(Prediction)} - {"model", "lung_fields", "warnings"}
)
"""The numbers and the decision that an answer takes over from a prediction."""


def header_name(field: str) -> str:
    """Name of the response header that carries a field: ``p_value`` in ``X-P-Value``."""
    return f"X-{field.replace('_', '-').title()}"


def score_headers() -> JsonDict:
    """Describe `AnalysisResult.headers` in the OpenAPI document."""
    described = {"result_id": AnalysisResult.model_fields["id"]}
    described |= {name: AnalysisResult.model_fields[name] for name in SCORE_FIELDS}
    described |= {f"model_{name}": field for name, field in ModelIdentity.model_fields.items()}
    described["model_choice"] = ModelChoice.model_fields["by"]
    return {
        header_name(name): {
            "description": field.description,
            "schema": {"type": "string" if _is_text(field.annotation) else "number"},
        }
        for name, field in described.items()
    }


def _is_text(annotation: object) -> bool:
    return annotation in (str, UUID, Decision) or get_origin(annotation) is Literal


class Analysis(NamedTuple, Generic[T]):
    """An answer, and what was rendered for it: see `Render`."""

    result: AnalysisResult
    rendered: T


Render = Callable[[Prediction], T]
"""Makes something of a prediction that holds its radiograph; called in a worker thread."""


def render_nothing(_: Prediction) -> None:
    """Render nothing: the scores alone are wanted."""


def render_map(style: MapStyle) -> Render[bytes]:
    """Render the anomaly map as PNG."""
    return lambda prediction: prediction.png(style)


def render_dicom(
    kinds: Sequence[ResultKind], capture: Capture | None = None
) -> Render[list[bytes]]:
    """Render DICOM result objects, each as a file; arguments as `make_results`.

    The radiograph must come from DICOM.
    """

    def render(prediction: Prediction) -> list[bytes]:
        # Only a DICOM file comes here, so the extra is there: it was needed to read the file.
        from wscxr.results.dicom.make import make_results, to_bytes

        return [to_bytes(result) for result in make_results(prediction, kinds, capture).values()]

    return render
