"""What an answer says of the lung fields."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wscxr.anatomy.frame import Frame
from wscxr.anatomy.lungs import LungFields


class PixelBox(BaseModel):
    """A box in pixels of the radiograph; right and bottom are the first that are not in it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    left: int = Field(ge=0, description="First column.")
    top: int = Field(ge=0, description="First row.")
    right: int = Field(ge=1, description="First column past the box.")
    bottom: int = Field(ge=1, description="First row past the box.")


class LungFacts(BaseModel):
    """The lung fields of one radiograph, as far as an answer reports them."""

    model_config = ConfigDict(frozen=True)

    found: bool = Field(
        description="Whether the image shows the lungs of an upright chest, in positive tones."
    )
    box: PixelBox | None = Field(
        description="Box around both lung fields and a margin: what the model looked at. Null "
        "where no lungs were found; it looked at the whole image then."
    )
    area_share: float | None = Field(
        ge=0, le=1, description="Share of the image that the lung fields cover; null without them."
    )
    map_share: float | None = Field(
        ge=0,
        le=1,
        description="Share of the coloured part of the anomaly map, weighted by its values, that "
        "lies in the lung fields; null without them, or where nothing is coloured.",
    )

    @classmethod
    def of(
        cls, lungs: LungFields, frame: Frame, anomaly_map: NDArray[np.float32], low: float
    ) -> Self:
        """Describe lung fields, and where an anomaly map lies.

        Parameters
        ----------
        lungs
            Of one radiograph.
        frame
            Its frame.
        anomaly_map
            Over the frame, float32 of shape (H', W').
        low
            The map value up to which there is no colour.
        """
        if not lungs.found:
            return cls(found=False, box=None, area_share=None, map_share=None)
        inside = frame.from_radiograph(lungs.probability, anomaly_map.shape) > 0.5
        coloured = np.maximum(anomaly_map - low, 0)
        total = float(coloured.sum())
        return cls(
            found=True,
            box=PixelBox.model_validate(frame),
            area_share=float((lungs.probability > 0.5).mean()),
            map_share=min(1.0, float(coloured[inside].sum()) / total) if total > 0 else None,
        )
