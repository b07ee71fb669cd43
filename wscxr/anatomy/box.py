"""Lung fields -> the box around both of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wscxr.anatomy.frame import Frame
from wscxr.imaging import Radiograph

_QUANTILE = 0.01
"""Share of the lungs' area that may lie beyond each side of the box: specks do not move it."""

_SMALLEST_AREA, _LARGEST_AREA = 0.03, 0.85
"""Share of the picture that lung fields cover."""

_SMALLEST_SIDE = 0.15
"""Of the box, as a share of the picture's."""

_LEAST_CERTAINTY = 0.7
"""Mean probability in the lung fields; of lungs that are there it is 0.9 and more."""

_LONE_LUNG = 0.17
"""Share of the lungs' area in the middle fifth of the box's width from which there is one lung
only: it fills its middle (at least 0.19 in drawn masks), where of two lungs there is little
(at most 0.15 in 99 of 100)."""

_BOTH_TO_ONE = 2.3
"""Width of the box of both lungs, in widths of one of them: the median of drawn masks."""


@dataclass(frozen=True)
class LungBox:
    """The box around both lung fields, in fractions of the picture's sides, from left and top.

    Attributes
    ----------
    left, top, right, bottom
        In [0, 1].
    """

    left: float
    top: float
    right: float
    bottom: float

    def widened(self, margin: float) -> "LungBox":
        """The box with a margin on each side, a share of its own sides, inside the picture."""
        across, down = margin * (self.right - self.left), margin * (self.bottom - self.top)
        return LungBox(
            left=max(0.0, self.left - across),
            top=max(0.0, self.top - down),
            right=min(1.0, self.right + across),
            bottom=min(1.0, self.bottom + down),
        )

    def on(self, radiograph: Radiograph) -> Frame:
        """The box on a radiograph's own pixels, those it touches at its edge included."""
        width, height = radiograph.width, radiograph.height
        return Frame(
            left=int(np.floor(self.left * width)),
            top=int(np.floor(self.top * height)),
            right=int(np.ceil(self.right * width)),
            bottom=int(np.ceil(self.bottom * height)),
            width=width,
            height=height,
        )


def lung_box(lungs: NDArray[np.float32]) -> LungBox | None:
    """Find the box around both lung fields.

    Its sides are quantiles of the lungs' area. Where only one lung is seen, because the other one
    has collapsed or is white to its edge, the box reaches over to where the other one belongs: on
    the side where the picture has more room.

    Parameters
    ----------
    lungs
        Probability of lung, float32 of shape (h, w).

    Returns
    -------
    LungBox or None
        None where no lungs were found: too small or too large an area, or an uncertain one.
    """
    inside = lungs > 0.5
    area = float(inside.mean())
    if not _SMALLEST_AREA <= area <= _LARGEST_AREA:
        return None
    if lungs[inside].mean() < _LEAST_CERTAINTY:
        return None
    left, right = _places(inside.sum(axis=0), [_QUANTILE, 1 - _QUANTILE])
    top, bottom = _places(inside.sum(axis=1), [_QUANTILE, 1 - _QUANTILE])
    if min(right - left, bottom - top) < _SMALLEST_SIDE:
        return None
    if _share_in_middle(inside, left, right) > _LONE_LUNG:
        missing = (_BOTH_TO_ONE - 1) * (right - left)
        if left > 1 - right:
            left = max(0.0, left - missing)
        else:
            right = min(1.0, right + missing)
    return LungBox(left, top, right, bottom)


def _places(counts: NDArray[np.int_], quantiles: list[float]) -> list[float]:
    """Where quantiles of the counts lie, as fractions of the side."""
    reached = np.concatenate([[0], counts.cumsum()]) / counts.sum()
    return [float(place) for place in np.interp(quantiles, reached, _edges(reached))]


def _share_in_middle(inside: NDArray[np.bool_], left: float, right: float) -> float:
    """Share of the area in the middle fifth of a span."""
    counts = inside.sum(axis=0)
    reached = np.concatenate([[0], counts.cumsum()]) / counts.sum()
    middle = [left + part * (right - left) for part in (0.4, 0.6)]
    low, high = np.interp(middle, _edges(reached), reached)
    return float(high - low)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linspace(0, 1, len(values))
