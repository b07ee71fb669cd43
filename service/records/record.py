"""What the record says of an analysis, and what a person says of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from wscxr.bundle.identity import ModelIdentity
from wscxr.model.calibration import Decision

NO_NUL = r"^[^\x00]*$"
"""What PostgreSQL takes for text."""

MAX_NOTE = 2000
"""Most characters of a note."""

_REVIEW: JsonDict = {
    "verdict": "abnormal",
    "note": "right lower lobe",
    "reviewer": "dr-a",
    "time": "2026-11-27T09:31:04.120000Z",
    "revision": 1,
}


class Source(StrEnum):
    """Where the image of an analysis came from."""

    UPLOAD = "upload"
    PACS = "pacs"


class Verdict(StrEnum):
    """What a person says of a radiograph."""

    ABNORMAL = "abnormal"
    NORMAL = "normal"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Origin:
    """Who asked for an analysis.

    Attributes
    ----------
    request_id
        Id of the request, or of the job that analyses a study.
    source
        Where the image came from.
    caller
        Name of the API key, or anonymous.
    """

    request_id: UUID
    source: Source
    caller: str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Review(_Part):
    """A person's verdict on an analysis."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REVIEW]})

    verdict: Verdict
    note: str = Field(max_length=MAX_NOTE, description="Free text; show it as text.")
    reviewer: str = Field(description="Name of the API key, or anonymous.")
    time: datetime = Field(description="When it was given, in UTC.")
    revision: int = Field(ge=1, description="Counts from 1; the latest stands.")


class NewReview(BaseModel):
    """A verdict to be recorded."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"verdict": "abnormal", "note": "right lower lobe", "revision": 0}]
        },
    )

    verdict: Verdict
    note: Annotated[str, Field(max_length=MAX_NOTE, pattern=NO_NUL)] = Field(
        default="", description="Free text."
    )
    revision: int = Field(
        ge=0, description="Revision of the review that the reader saw; 0 where there was none."
    )


class RecordedImage(_Part):
    """What is recorded of a radiograph: nothing that names a person."""

    rows: int = Field(description="Rows, in pixels.")
    columns: int = Field(description="Columns, in pixels.")
    bits: int = Field(description="Bits per pixel in the file: 8 or 16.")
    manufacturer: str | None = Field(description="DICOM: Manufacturer (0008,0070).")
    device: str | None = Field(description="DICOM: Manufacturer's Model Name (0008,1090).")
    view: str | None = Field(description="DICOM: View Position (0018,5101).")
    age_band: str | None = Field(description="DICOM: age in bands of ten years, such as 40-49.")
    sex: str | None = Field(description="DICOM: Patient's Sex (0010,0040): F, M or O.")


class RecordedAnalysis(_Part):
    """An analysis as recorded."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55",
                    "time": "2026-11-27T09:30:11.482000Z",
                    "request_id": "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55",
                    "source": "pacs",
                    "model": {
                        "name": "chest",
                        "version": "1.2.0",
                        "sha256": (
                            "9f2c0d0c54c1f0a7c8b0a2f2f1c7b0d8a7e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2"
                        ),
                    },
                    "engine": "torch",
                    "precision": "float32",
                    "score": 0.8134,
                    "p_value": 0.0198,
                    "threshold": 0.5127,
                    "decision": "abnormal",
                    "ood_score": 0.7841,
                    "warnings": [],
                    "image": {
                        "rows": 2048,
                        "columns": 2500,
                        "bits": 16,
                        "manufacturer": "ACME",
                        "device": "DX 1",
                        "view": "PA",
                        "age_band": "40-49",
                        "sex": "F",
                    },
                    "caller": "watcher",
                    "has_image": True,
                    "review": _REVIEW,
                }
            ]
        }
    )

    id: UUID = Field(description="Id of the result; of one file it is the request's too.")
    time: datetime = Field(description="When it was answered, in UTC.")
    request_id: UUID
    source: Source
    model: ModelIdentity
    engine: str = Field(description="What ran the network: torch or openvino.")
    precision: str = Field(description="Numbers that it computed with: float32 or bfloat16.")
    score: float
    p_value: float
    threshold: float
    decision: Decision
    ood_score: float | None
    warnings: list[str]
    image: RecordedImage
    caller: str = Field(description="Name of the API key, or anonymous.")
    has_image: bool = Field(description="Whether picture and map are kept.")
    review: Review | None = Field(description="The latest verdict on it.")


class Order(StrEnum):
    """Which analyses come first."""

    NEWEST = "newest"
    UNUSUAL = "unusual"


@dataclass(frozen=True)
class Filter:
    """Which analyses are wanted; None means all."""

    decision: Decision | None = None
    model: str | None = None
    source: Source | None = None
    reviewed: bool | None = None
    since: datetime | None = None
