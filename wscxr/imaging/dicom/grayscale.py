"""The grayscale pipeline of PS3.4, N.2: stored values -> what is displayed.

Every step acts on one value at a time, so the whole pipeline is one table over all stored values:
pydicom's own functions fill it, and the pixels are looked up. That is exact, and for millions of
pixels a hundred times cheaper than running each step over the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from wscxr.errors import CorruptImage
from wscxr.imaging.radiograph import Unwindowed
from wscxr.imaging.reduction import STRIP, reduce_strip, strips

_FULL = 65535
_SAMPLE = 16
"""A picture whose every 16th row and column shows two values is not blank."""

_COUNTED = 1 << 20
"""Rows are left out where a picture has more pixels than its percentiles need."""

_RANGE = (0.1, 99.9)
"""Percentiles that stand for black and white where a file has no usable window."""


class LookedUp:
    """A picture of stored values, and the table that makes grey of them.

    Parameters
    ----------
    patterns
        Bit patterns of shape (rows, columns), uint8 or uint16.
    table
        The grey value of each bit pattern, uint16, of shape (256,) or (65536,).
    """

    dtype: np.dtype[np.unsignedinteger] = np.dtype(np.uint16)

    def __init__(self, patterns: NDArray[np.unsignedinteger], table: NDArray[np.uint16]) -> None:
        self._patterns = patterns
        self._table = table
        self.shape: tuple[int, int] = patterns.shape

    def decode(self, factor: int) -> NDArray[np.uint16]:
        """See `wscxr.imaging.radiograph.Picture.decode`."""
        reduced = np.empty([-(-side // factor) for side in self.shape], dtype=np.uint16)
        places = np.empty(STRIP + factor * self.shape[1], dtype=np.intp)
        for strip in strips(self.shape, factor):
            patterns = self._patterns[strip]
            # NumPy looks up places alone: the same few of them each time, in the cache.
            at = places[: patterns.size].reshape(patterns.shape)
            at[...] = patterns
            rows = slice(strip.start // factor, -(-strip.stop // factor))
            if factor == 1:
                np.take(self._table, at, out=reduced[rows], mode="clip")
            else:
                grey = np.take(self._table, at, mode="clip")
                reduced[rows] = reduce_strip(grey, factor)
        return reduced

    @property
    def is_blank(self) -> bool:
        """Whether all pixels have the same value."""
        some = self._table[self._patterns[::_SAMPLE, ::_SAMPLE]]
        if some.min() != some.max():
            return False
        grey = self.decode(1)
        return bool(grey.min() == grey.max())


@dataclass(frozen=True, eq=False)
class Greys:
    """What the grayscale pipeline makes of a picture.

    Attributes
    ----------
    picture
        0 for black and 65535 for the brightest value there can be.
    warnings
        What had to be assumed: ``window_unusable``.
    unwindowed
        Computes the grey values without the window.
    """

    picture: LookedUp
    warnings: tuple[str, ...]
    unwindowed: Callable[[], Unwindowed]


def to_grey(
    stored: NDArray[np.unsignedinteger], dataset: Dataset, photometric: str | None = None
) -> Greys:
    """Bring stored values to grey that is bright where the body is dense.

    In the standard's order: Modality LUT or rescale (C.11.1), VOI LUT or first window (C.11.2),
    then inversion for MONOCHROME1 (C.7.6.3.1.2) or Presentation LUT Shape INVERSE (C.11.6).
    Padding (C.7.5.1.1.2) becomes black; overlays, in the pixel's unused bits too, are left out.

    Parameters
    ----------
    stored
        Bit patterns of shape (rows, columns), uint8 or uint16.
    dataset
        Its header.
    photometric
        In place of the header's Photometric Interpretation.

    Raises
    ------
    CorruptImage
        A lookup table is damaged.
    """
    bits = int(dataset.BitsStored)
    values = _values(bits, signed=bool(dataset.get("PixelRepresentation", 0)))
    padding = _padding(values, dataset)
    try:
        rescaled = np.asarray(apply_modality_lut(values, dataset), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - pydicom raises anything on damaged tables
        raise CorruptImage(f"the Modality LUT is damaged ({type(error).__name__})") from None
    inverted = _inverted(dataset, photometric)
    significant = _significant(stored.dtype, dataset, bits)

    def look_up(shown: NDArray[np.float64], low: float, high: float) -> LookedUp:
        share = np.clip((shown - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1)
        table = np.round(_FULL * (1 - share if inverted else share)).astype(np.uint16)
        table[padding] = 0
        return LookedUp(stored, table[significant])

    def unwindowed(black: float, white: float) -> Unwindowed:
        found = np.bincount(stored.ravel(), minlength=len(significant)) > 0
        used = np.zeros(len(values), dtype=bool)
        used[significant[found]] = True
        occurring = rescaled[used & ~padding]
        low, high = float(occurring.min()), float(occurring.max())
        window = _FULL * (np.array([black, white]) - low) / max(high - low, 1e-9)
        if inverted:
            window = _FULL - window[::-1]
        shown = look_up(rescaled, low, high).decode(1)
        return Unwindowed(shown, round(float(window[0])), round(float(window[1])))

    warnings: tuple[str, ...] = ()
    if "VOILUTSequence" in dataset or "WindowWidth" in dataset:
        windowed = _window(rescaled, dataset)
        if windowed is not None:
            grey = look_up(windowed, float(windowed.min()), float(windowed.max()))
            if not grey.is_blank:
                return Greys(grey, (), partial(unwindowed, *_edges(rescaled, windowed)))
        warnings = ("window_unusable",)
    counts = np.zeros(len(values), dtype=np.intp)
    every = max(stored.size // _COUNTED, 1)
    np.add.at(counts, significant, np.bincount(stored[::every].ravel(), minlength=len(significant)))
    counts[padding] = 0
    edges = _percentiles(rescaled, counts)
    return Greys(look_up(rescaled, *edges), warnings, partial(unwindowed, *edges))


def _significant(
    dtype: np.dtype[np.unsignedinteger], dataset: Dataset, bits: int
) -> NDArray[np.intp]:
    """Of each bit pattern the pixel alone, without what other bits may hold (an overlay, say)."""
    shift = int(dataset.get("HighBit", bits - 1)) + 1 - bits
    patterns: NDArray[np.intp] = np.arange(2 ** (8 * dtype.itemsize), dtype=np.intp)
    return (patterns >> np.intp(shift)) & np.intp(2**bits - 1)


def _values(bits: int, *, signed: bool) -> NDArray[np.int32]:
    """Stored value of each bit pattern (two's complement where signed)."""
    values = np.arange(2**bits, dtype=np.int32)
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values) if signed else values


def _padding(values: NDArray[np.int32], dataset: Dataset) -> NDArray[np.bool_]:
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return np.zeros(len(values), dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((first, last if isinstance(last, int) else first))
    return (values >= low) & (values <= high)


def _window(rescaled: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64] | None:
    """The table after the VOI transformation; None where that cannot be used."""
    try:
        # A LUT takes integers (C.11.2.1.1).
        whole = np.round(rescaled).astype(np.int32) if "VOILUTSequence" in dataset else rescaled
        windowed = np.asarray(apply_voi_lut(whole, dataset), dtype=np.float64)
    except Exception:  # noqa: BLE001 - pydicom raises anything on damaged windows
        return None
    return windowed if np.isfinite(windowed).all() else None


def _edges(rescaled: NDArray[np.float64], windowed: NDArray[np.float64]) -> tuple[float, float]:
    """Where a window begins to be brighter than black, and where it comes close to white."""
    low, high = float(windowed.min()), float(windowed.max())
    reach = (high - low) / 512  # half a step of a screen
    black = rescaled[windowed <= low + reach].max()
    white = rescaled[windowed >= high - reach].min()
    return min(float(black), float(white)), max(float(black), float(white))


def _percentiles(rescaled: NDArray[np.float64], counts: NDArray[np.intp]) -> tuple[float, float]:
    """Robust range of the picture, from how often each stored value occurs."""
    order = np.argsort(rescaled, kind="stable")
    share = np.cumsum(counts[order]) / max(int(counts.sum()), 1)
    low, high = (int(np.searchsorted(share, q / 100)) for q in _RANGE)
    last = len(order) - 1
    return float(rescaled[order[min(low, last)]]), float(rescaled[order[min(high, last)]])


def _inverted(dataset: Dataset, photometric: str | None) -> bool:
    if photometric is not None:
        return photometric == "MONOCHROME1"
    said = (dataset.get("PhotometricInterpretation"), dataset.get("PresentationLUTShape"))
    return bool(said[0] == "MONOCHROME1" or said[1] == "INVERSE")
