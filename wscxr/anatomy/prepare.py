"""A radiograph -> the model input, in the frame the detector looks at."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wscxr.anatomy.frame import Frame
from wscxr.anatomy.lungs import LungFields, find_lungs
from wscxr.choices import Intensity
from wscxr.engines import Network
from wscxr.imaging import InputConfig, Radiograph, to_model_input, to_unit_range
from wscxr.model.lesions import LESION_SIDE, MAP_SIDE, lesion_map

_OVERSAMPLING = 2
"""Pixels of the picture, across and down, that a pixel of the model input is made from at least,
where the picture has them."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What a detector sees of one radiograph, and where that lies.

    Attributes
    ----------
    tensor
        float32 of shape (3, size, size).
    frame
        The part of the radiograph that it shows.
    lungs
        The lung fields around which the frame lies; None where nobody looked for them.
    lesions
        The lesion map of the frame, float32 of shape (MAP_SIDE, MAP_SIDE) in [0, 1]; see
        `wscxr.model.lesions.lesion_map`. None where nobody looked for lesions.
    """

    tensor: Tensor
    frame: Frame
    lungs: LungFields | None
    lesions: NDArray[np.float32] | None = None

    @property
    def shows_lungs(self) -> bool:
        """Whether lung fields were looked for and found."""
        return self.lungs is not None and self.lungs.found


class Preparation:
    """Makes model inputs: in training, in Python and in the service alike.

    Parameters
    ----------
    config
        How a radiograph becomes a model input.
    lungs
        Finds the lung fields that every radiograph is cropped to: a `LungNetwork` that an engine
        runs. None to take it whole.
    lesions
        Finds lesions in the lung fields: a `LesionNetwork` that an engine runs; None to look for
        none, or where nobody looks for lungs.
    """

    def __init__(
        self, config: InputConfig, lungs: Network | None, lesions: Network | None = None
    ) -> None:
        if lesions is not None and lungs is None:
            raise ValueError("lesions are looked for in the lungs: find these too")
        self.config = config
        self.lungs = lungs
        self.lesions = lesions

    @property
    def view_side(self) -> int:
        """Shortest side, in pixels, of the view that radiographs are prepared from.

        It is twice the model input's; where the lungs are looked for, four times, as most boxes
        around them take more than half the picture.
        """
        return (_OVERSAMPLING if self.lungs is None else 2 * _OVERSAMPLING) * self.config.size

    def __call__(self, radiograph: Radiograph) -> ModelInput:
        """Prepare one radiograph; may be called on several threads at once.

        Where no lungs are found, the whole picture is the frame.
        """
        view = radiograph.view(self.view_side)
        lungs = None if self.lungs is None else find_lungs(self.lungs, view)
        frame = Frame.whole(radiograph) if lungs is None else lungs.frame(radiograph)
        shortest = min(frame.right - frame.left, frame.bottom - frame.top)
        needed = _OVERSAMPLING * self.config.size
        if shortest < needed * view.factor:
            # A small box, which few have, is looked at more closely.
            view = radiograph.view(
                math.ceil(needed * min(radiograph.width, radiograph.height) / shortest)
            )
        lesions = None
        if self.lesions is not None and lungs is not None:
            seen = to_unit_range(view, LESION_SIDE, Intensity.PERCENTILE, frame.box)
            inside = frame.from_radiograph(lungs.probability, (MAP_SIDE, MAP_SIDE))
            lesions = lesion_map(self.lesions, seen, inside)
        return ModelInput(to_model_input(view, self.config, frame.box), frame, lungs, lesions)
