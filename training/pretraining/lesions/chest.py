"""A normal chest as painting sees it, and the brushes that all lesions share.

Everything is measured in sides of the frame, which holds the lung box, so that a lesion has one
size in the body whatever the resolution.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy import ndimage

Picture = NDArray[np.float32]
"""Grey values or shares, float32 of shape (side, side), mostly in [0, 1]."""

_TOP, _LOWER = 0.5, 1.5
"""How often a lesion lies in a row: pneumonia, fluid and collapse favour the lower lungs."""


@dataclass(frozen=True, eq=False)
class NormalChest:
    """A normal radiograph in its frame.

    Attributes
    ----------
    pixels
        Grey values.
    lungs
        Probability of lung.
    """

    pixels: Picture
    lungs: Picture

    @property
    def side(self) -> int:
        """Of the frame, in pixels."""
        return len(self.pixels)

    @cached_property
    def rows(self) -> Picture:
        """How far down each row lies, of shape (side, 1)."""
        return single((np.arange(self.side) + 0.5) / self.side)[:, None]

    @cached_property
    def columns(self) -> Picture:
        """How far right each column lies, of shape (1, side)."""
        return self.rows.T

    @cached_property
    def blurred(self) -> Picture:
        """Grey values without ribs and vessels."""
        return self.smooth(self.pixels, 0.03)

    @cached_property
    def tissue(self) -> float:
        """The grey value of soft tissue: what a lung without air looks like."""
        outside = self.pixels[(self.lungs < 0.2) & (np.abs(self.columns - 0.5) < 0.35)]
        return float(np.median(outside)) if outside.size else 0.8

    @cached_property
    def middle(self) -> float:
        """The column between both lungs."""
        counts = self.lungs.sum(axis=0)
        low, high = round(0.35 * self.side), round(0.65 * self.side)
        between = ndimage.uniform_filter1d(counts, 5)[low:high]
        return float((low + np.median(np.flatnonzero(between <= between.min() + 1e-3))) / self.side)

    def lung(self, side: int) -> Picture:
        """The lung on the picture's left (0) or right (1)."""
        beside = self.columns < self.middle
        return single(np.where(beside if side == 0 else ~beside, self.lungs, 0))

    def place(self, rng: Generator) -> tuple[float, float]:
        """A random place in the lungs, row and column; in their lower parts more often."""
        weights = (self.lungs * (_TOP + _LOWER * self.rows)).ravel() + 1e-6
        at = int(np.searchsorted(weights.cumsum(), rng.random() * weights.sum()))
        row, column = divmod(min(at, weights.size - 1), self.side)
        return (row + 0.5) / self.side, (column + 0.5) / self.side

    def smooth(self, values: Picture, width: float) -> Picture:
        """Gaussian blur, `width` its standard deviation."""
        sigma = width * self.side
        # A wide blur loses nothing on a coarser grid.
        coarser = 2 ** max(0, int(np.log2(sigma / 1.5))) if sigma > 0 else 1
        if coarser == 1:
            found: Picture = ndimage.gaussian_filter(values, sigma, mode="nearest")
            return found
        small = np.asarray(Image.fromarray(values).reduce(coarser))
        small = ndimage.gaussian_filter(small, sigma / coarser, mode="nearest")
        fine = Image.fromarray(small).resize((self.side, self.side), Image.Resampling.BILINEAR)
        return np.asarray(fine)

    def noise(self, rng: Generator, cells: int) -> Picture:
        """Smooth noise of unit variance in about `cells` cells along a side."""
        coarse = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
        fine = Image.fromarray(coarse).resize((self.side, self.side), Image.Resampling.BICUBIC)
        return single(1.3 * np.asarray(fine))

    def blob(
        self,
        rng: Generator,
        centre: tuple[float, float],
        radii: tuple[float, float],
        *,
        angle: float = 0.0,
        ragged: float = 0.3,
        soft: float = 0.3,
    ) -> Picture:
        """An ellipse with a ragged, soft edge: 1 inside, 0 outside.

        Parameters
        ----------
        rng
            The random stream.
        centre
            Row and column.
        radii
            Along and across its axis.
        angle
            Of its axis against the columns' direction, in radians.
        ragged
            How far its edge wanders, as a share of its radius.
        soft
            Width of its edge, as a share of its radius.
        """
        down, right = self.rows - centre[0], self.columns - centre[1]
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        distance = np.sqrt((along / radii[0]) ** 2 + (across / radii[1]) ** 2)
        if ragged:
            cells = int(np.clip(2.5 / max(radii), 4, 32))
            distance = distance + ragged * self.noise(rng, cells)
        return step((1 - distance) / max(soft, 1e-2))

    def densify(self, region: Picture, amount: float, *, detail: float, level: float) -> Picture:
        """Take air out of a region: its grey values approach those of soft tissue.

        Parameters
        ----------
        region
            Where and how much, in [0, 1].
        amount
            How much of the way to `level` there is to go, where `region` is 1.
        detail
            How much of ribs and vessels stays, in [0, 1].
        level
            The grey value approached; brighter places stay as they are.
        """
        share = amount * region
        risen = share * (level - self.blurred).clip(0)
        lost = share * (1 - detail) * (self.pixels - self.blurred)
        return single(self.pixels + risen - lost)


def single(values: ArrayLike) -> Picture:
    """Values in single precision."""
    return np.asarray(values, dtype=np.float32)


def step(values: NDArray[Any]) -> Picture:
    """A smooth step from 0 to 1, half way at 0, done at about -1 and 1."""
    return single(1 / (1 + np.exp(-4 * values.clip(-10, 10))))


def between(rng: Generator, low: float, high: float) -> float:
    """A number drawn evenly."""
    return float(rng.uniform(low, high))


def log_between(rng: Generator, low: float, high: float) -> float:
    """A positive number whose logarithm is drawn evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
