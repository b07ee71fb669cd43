"""AnomalyMap -> PNG: overlay, outlined, heat and raw16.

The colour scale belongs to the bundle, not to the image, so that two images can be compared; see
`ColourScale`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import cmap
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from wscxr.imaging import Radiograph

_COLOURS = (cmap.Colormap("inferno").lut(256)[:, :3] * 255).round().astype(np.uint8)
_OVERLAY_OPACITY = 0.6
_OUTLINE = (64, 224, 208)

# Level 1 costs a tenth of the default's time on full-size radiographs for some more bytes.
_PNG_LEVEL = 1


class MapStyle(StrEnum):
    """How an anomaly map is drawn."""

    OVERLAY = "overlay"
    OUTLINED = "outlined"
    """As the overlay, with the outlines of the lung fields, where they were found."""
    HEAT = "heat"
    RAW16 = "raw16"


class ColourScale(BaseModel):
    """Which map values the two ends of the colour map stand for; part of the bundle.

    Attributes
    ----------
    low
        Value, and all below it, that has no colour.
    high
        Value, and all above it, that has the full colour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: FiniteFloat
    high: FiniteFloat

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.low >= self.high:
            raise ValueError("the low end of the colour scale is not below the high end")
        return self

    @classmethod
    def from_calibration(cls, peaks: NDArray[np.float32], false_alarm_rate: float) -> Self:
        """Choose the scale by the map maxima of normal images kept aside.

        Values that half of the normal images reach have no colour. The middle of the scale is the
        peak that only the given fraction of normal images exceed, but lies at least 1/2 above that:
        training puts 1 between normal and anomaly.

        Parameters
        ----------
        peaks
            Largest map value of each calibration image, float32 of shape (n,).
        false_alarm_rate
            The bundle's, in (0, 1).
        """
        low, middle = np.quantile(peaks, (0.5, 1 - false_alarm_rate))
        low = max(0.0, float(low))
        return cls(low=low, high=max(low + 1, 2 * float(middle) - low))


@dataclass(frozen=True)
class RawScale:
    """Linear scale of a raw16 picture: ``score = offset + slope * value``."""

    offset: float
    slope: float


def display_grey(radiograph: Radiograph) -> Image.Image:
    """The radiograph in 8-bit grey; 16-bit grey has its own range stretched to that."""
    if radiograph.pixels.dtype == np.uint8:
        return Image.fromarray(radiograph.pixels)
    low, high = int(radiograph.pixels.min()), int(radiograph.pixels.max())
    # One table for all pixels: millions of them are looked up faster than computed.
    table = np.round(255 * np.clip((np.arange(65536) - low) / (high - low), 0, 1))
    return Image.fromarray(np.take(table.astype(np.uint8), radiograph.pixels))


def resized_grey(radiograph: Radiograph, size: tuple[int, int]) -> Image.Image:
    """The radiograph in 8-bit grey as `display_grey`, of another width and height, in pixels.

    It is made from the smallest view that has as many pixels, which the model may have been shown.
    It is brought to 8 bits before it is resized, which takes a third of the time, and costs 16-bit
    grey of a small range half a grey level.
    """
    pixels = radiograph.view(min(size)).pixels
    if pixels.dtype == np.uint8:
        low, high = 0, 255
    else:
        low, high = int(pixels.min()), int(pixels.max())
    shift = max(0, (high - low).bit_length() - 8)
    grey = ((pixels - low) >> shift).astype(np.uint8)
    resized = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    largest = (high - low) >> shift
    return resized.point([min(255, round(255 * value / largest)) for value in range(256)])


def overlay(
    radiograph: Radiograph, anomaly_map: NDArray[np.float32], scale: ColourScale
) -> Image.Image:
    """Draw the map in colour over the radiograph, at the radiograph's own size.

    Parameters
    ----------
    radiograph
        The image; 16-bit grey is shown with its own range stretched to 8 bits.
    anomaly_map
        float32 of shape (H', W').
    scale
        The bundle's.

    Returns
    -------
    Image
        RGB, of the radiograph's width and height.
    """
    size = (radiograph.width, radiograph.height)
    level = Image.fromarray(_levels(anomaly_map, scale)).resize(size, Image.Resampling.BILINEAR)
    opacity = level.point([round(_OVERLAY_OPACITY * v) for v in range(256)])
    # A palette of Pillow is several times as fast as an array of colours.
    level.putpalette(_COLOURS.tobytes())
    heat = level.convert("RGB")
    return Image.composite(heat, display_grey(radiograph).convert("RGB"), opacity)


def overlay_png(
    radiograph: Radiograph, anomaly_map: NDArray[np.float32], scale: ColourScale
) -> bytes:
    """Draw the `overlay` as PNG."""
    return _encode(overlay(radiograph, anomaly_map, scale))


def outlined_png(
    radiograph: Radiograph,
    anomaly_map: NDArray[np.float32],
    scale: ColourScale,
    lungs: NDArray[np.float32] | None,
) -> bytes:
    """Draw the `overlay` with the outlines of the lung fields as PNG.

    Parameters
    ----------
    radiograph, anomaly_map, scale
        As `overlay` takes them.
    lungs
        Probability of lung over the whole radiograph, float32 of shape (H', W'); None where no
        lungs were found, and nothing is outlined.
    """
    image = overlay(radiograph, anomaly_map, scale)
    if lungs is not None:
        likely = Image.fromarray(np.round(255 * lungs).astype(np.uint8))
        inside = likely.resize(image.size, Image.Resampling.BILINEAR).point(
            _where(lambda v: v > 127)
        )
        # A blur leaves the colour of neither side within half a line's width of the edge.
        blurred = inside.filter(ImageFilter.BoxBlur(max(image.size) / 800))
        image.paste(_OUTLINE, mask=blurred.point(_where(lambda v: 0 < v < 255)))
    return _encode(image)


def _where(true: Callable[[int], bool]) -> list[int]:
    """Table for `Image.point`: white for the grey values of which it is true, else black."""
    return [255 * true(value) for value in range(256)]


def heat_png(radiograph: Radiograph, anomaly_map: NDArray[np.float32], scale: ColourScale) -> bytes:
    """Draw the map alone in colour, at the radiograph's own size; arguments as `overlay`."""
    size = (radiograph.width, radiograph.height)
    level = Image.fromarray(_levels(anomaly_map, scale)).resize(size, Image.Resampling.BILINEAR)
    return _encode(Image.fromarray(_COLOURS[np.asarray(level)]))


def raw_scale(anomaly_map: NDArray[np.float32]) -> RawScale:
    """The scale `raw16_png` uses for this map: its own minimum to maximum over 16 bits."""
    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    return RawScale(offset=low, slope=(high - low) / 65535 if high > low else 1.0)


def raw16_png(anomaly_map: NDArray[np.float32], scale: ColourScale) -> bytes:
    """Write the map itself as 16-bit grey, at the map's own size, for scripts.

    Its `raw_scale` is in the PNG's text chunks ``score_offset`` and ``score_slope``, the scores at
    the two ends of the colour scale in ``colour_low`` and ``colour_high``.

    Parameters
    ----------
    anomaly_map
        float32 of shape (H', W').
    scale
        The bundle's; it changes no value.
    """
    raw = raw_scale(anomaly_map)
    values = np.round((anomaly_map.astype(np.float64) - raw.offset) / raw.slope)
    info = PngInfo()
    info.add_text("score_offset", repr(raw.offset))
    info.add_text("score_slope", repr(raw.slope))
    info.add_text("colour_low", repr(scale.low))
    info.add_text("colour_high", repr(scale.high))
    return _encode(Image.fromarray(values.astype(np.uint16)), info)


def map_png(
    radiograph: Radiograph,
    anomaly_map: NDArray[np.float32],
    style: MapStyle,
    scale: ColourScale,
    lungs: NDArray[np.float32] | None = None,
) -> bytes:
    """Draw the map in one of the styles; arguments as `outlined_png`."""
    match style:
        case MapStyle.OVERLAY:
            return overlay_png(radiograph, anomaly_map, scale)
        case MapStyle.OUTLINED:
            return outlined_png(radiograph, anomaly_map, scale, lungs)
        case MapStyle.HEAT:
            return heat_png(radiograph, anomaly_map, scale)
        case MapStyle.RAW16:
            return raw16_png(anomaly_map, scale)


def _levels(anomaly_map: NDArray[np.float32], scale: ColourScale) -> NDArray[np.uint8]:
    """Map values -> 0..255 on the colour scale."""
    share = np.clip((anomaly_map - scale.low) / (scale.high - scale.low), 0, 1)
    return np.asarray(np.round(255 * share), dtype=np.uint8)


def _encode(image: Image.Image, info: PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=_PNG_LEVEL, pnginfo=info)
    return buffer.getvalue()
