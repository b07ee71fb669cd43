"""Which DICOM objects are scored; a setting, free of any DICOM library."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LateralRule(StrEnum):
    """What is done with a view that the header calls lateral."""

    REFUSE = "refuse"
    WARN = "warn"
    ACCEPT = "accept"


class Assumed(BaseModel):
    """What the caller knows better than the header; None leaves an attribute as it is.

    Attributes
    ----------
    modality
        In place of Modality (0008,0060).
    body_part
        In place of Body Part Examined (0018,0015).
    view
        In place of View Position (0018,5101).
    photometric_interpretation
        In place of Photometric Interpretation (0028,0004).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str | None = Field(default=None, max_length=16)
    body_part: str | None = Field(default=None, max_length=16)
    view: str | None = Field(default=None, max_length=16)
    photometric_interpretation: Literal["MONOCHROME1", "MONOCHROME2"] | None = None


class DicomRules(BaseModel):
    """Which DICOM objects are scored.

    Attributes
    ----------
    modalities
        Modalities (PS3.3, C.7.3.1.1.1) that are scored unless the body part says another thing.
    modalities_if_chest
        Modalities that are scored only where the header says that it is a chest.
    body_parts
        Words of Body Part Examined, one of which says that it is a chest.
    lateral
        What is done with a lateral view.
    assume
        What the caller knows better than the header.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...] = ("CR", "DX")
    modalities_if_chest: tuple[str, ...] = ("SC", "OT")
    body_parts: tuple[str, ...] = ("CHEST", "THORAX", "LUNG")
    lateral: LateralRule = LateralRule.REFUSE
    assume: Assumed = Assumed()
