"""How secondary captures are drawn and encoded; needs neither PyTorch nor pydicom."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Encoding(StrEnum):
    """Transfer syntax of a capture (PS3.5, section 10)."""

    JPEG = "jpeg"
    NATIVE = "native"


class Capture(BaseModel):
    """How a secondary capture is drawn and encoded.

    Attributes
    ----------
    longest
        Most pixels on the longer side of the picture, the legend below it not counted.
    encoding
        JPEG Baseline, a twentieth in size; or not compressed, Explicit VR Little Endian, for
        archives that take nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest: int = Field(
        default=1024, ge=256, le=4096, description="Most pixels on the longer side of a capture."
    )
    encoding: Encoding = Field(
        default=Encoding.JPEG, description="JPEG Baseline, or not compressed."
    )
