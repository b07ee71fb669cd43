import io
import math

import cmap
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from pydantic import ValidationError

from tests.helpers import radiograph
from wscxr.imaging import Radiograph
from wscxr.results.png import (
    ColourScale,
    MapStyle,
    heat_png,
    map_png,
    overlay_png,
    raw16_png,
    raw_scale,
)

SCALE = ColourScale(low=0.0, high=2.0)


def pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def flat(value: float, side: int = 4) -> NDArray[np.float32]:
    return np.full((side, side), value, np.float32)


def grey(value: int, width: int = 50, height: int = 40) -> Radiograph:
    return Radiograph(pixels=np.full((height, width), value, np.uint8), format="PNG")


def recover(png: bytes) -> NDArray[np.float64]:
    """What a script does with a raw16 file."""
    with Image.open(io.BytesIO(png)) as image:
        assert isinstance(image, PngImageFile)
        assert image.mode == "I;16"
        offset, slope = (float(image.text[f"score_{key}"]) for key in ("offset", "slope"))
        return offset + slope * np.asarray(image).astype(np.float64)


# --- the colour scale ---------------------------------------------------------------------------


def test_scale_by_hand() -> None:
    peaks = np.linspace(0, 2, 101).astype(np.float32)
    # The median has no colour; the 95th percentile, 1.9, lies in the middle.
    scale = ColourScale.from_calibration(peaks, 0.05)
    assert scale.low == 1.0
    assert scale.high == pytest.approx(2.8)


@pytest.mark.parametrize("peak", [-3.0, 0.0, 0.2, 0.5])
def test_full_colour_is_at_least_one_above_none_and_zero_has_none(peak: float) -> None:
    scale = ColourScale.from_calibration(np.full(9, peak, np.float32), 0.05)
    assert scale.low == pytest.approx(max(0.0, peak))
    assert scale.high == pytest.approx(scale.low + 1)


@pytest.mark.parametrize(("low", "high"), [(0.0, math.nan), (-math.inf, 1.0), (1.0, 1.0), (2, 1)])
def test_an_impossible_scale_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        ColourScale(low=low, high=high)


# --- heat ---------------------------------------------------------------------------------------


def test_heat_uses_the_inferno_colours_of_the_scale() -> None:
    inferno = cmap.Colormap("inferno")
    for value, share in [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (2.0, 1.0)]:
        colour = pixels(heat_png(grey(7), flat(value), SCALE))[0, 0]
        expected = np.array(inferno(share).rgba[:3]) * 255
        np.testing.assert_allclose(colour, expected, atol=2)


def test_values_off_the_scale_have_the_colours_of_its_ends() -> None:
    ends = [pixels(heat_png(grey(7), flat(v), SCALE))[0, 0].tolist() for v in (0.0, 2.0)]
    beyond = [pixels(heat_png(grey(7), flat(v), SCALE))[0, 0].tolist() for v in (-9.0, 1e6)]
    assert beyond == ends


@given(value=st.floats(-1, 3, width=32), other=st.floats(-1, 3, width=32))
def test_the_same_value_has_the_same_colour_in_any_image(value: float, other: float) -> None:
    """The scale is the bundle's: nothing in an image stretches it."""
    alone = pixels(heat_png(grey(10), flat(value), SCALE))[0, 0]
    mixed = flat(value, 8)
    mixed[4:] = other
    beside = pixels(heat_png(grey(200, 90, 70), mixed, SCALE))[0, 0]
    np.testing.assert_array_equal(alone, beside)


def test_brightness_rises_with_the_value() -> None:
    ramp = np.linspace(0, 2, 64, dtype=np.float32)[None].repeat(4, axis=0)
    row = pixels(heat_png(grey(0, 64, 32), ramp, SCALE))[16].astype(int).sum(axis=1)
    assert (np.diff(row) >= -2).all()
    assert row[-1] - row[0] > 400


# --- overlay ------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [MapStyle.OVERLAY, MapStyle.HEAT])
@pytest.mark.parametrize(("width", "height"), [(32, 32), (50, 131), (300, 70)])
def test_pictures_have_the_radiographs_size(style: MapStyle, width: int, height: int) -> None:
    png = map_png(grey(9, width, height), flat(1.0, 7), style, SCALE)
    assert pixels(png).shape == (height, width, 3)


def test_normal_places_show_the_radiograph_untouched() -> None:
    image = radiograph()
    found = pixels(overlay_png(image, flat(-1.0), SCALE))
    np.testing.assert_array_equal(found, np.repeat(image.pixels[..., None], 3, axis=2))


def test_abnormal_places_mix_the_colour_in_by_its_level() -> None:
    for value, share in [(1.0, 0.5), (2.0, 1.0)]:
        colour = pixels(heat_png(grey(0), flat(value), SCALE))[0, 0].astype(float)
        found = pixels(overlay_png(grey(100), flat(value), SCALE))[0, 0]
        opacity = 0.6 * share
        np.testing.assert_allclose(found, opacity * colour + (1 - opacity) * 100, atol=2)


def test_the_overlay_is_not_turned() -> None:
    hot = flat(0.0, 4)
    hot[0, 3] = 2.0
    found = pixels(overlay_png(grey(100, 80, 80), hot, SCALE)).astype(int)
    changed = np.abs(found - 100).sum(axis=2) > 20
    rows, columns = np.nonzero(changed)
    assert rows.max() < 40 <= columns.min()


def test_16_bit_radiographs_are_stretched_to_be_seen() -> None:
    dark = np.linspace(1000, 1510, 40 * 40).reshape(40, 40).round().astype(np.uint16)
    found = pixels(overlay_png(Radiograph(dark, "PNG"), flat(0.0), SCALE))[..., 0]
    assert (found[0, 0], found[-1, -1]) == (0, 255)
    np.testing.assert_allclose(found, (dark - 1000.0) / 2, atol=1)


# --- raw16 --------------------------------------------------------------------------------------


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)
def test_scores_can_be_recovered(anomaly_map: NDArray[np.float32]) -> None:
    found = recover(raw16_png(anomaly_map, SCALE))
    assert found.shape == anomaly_map.shape
    span = float(anomaly_map.max()) - float(anomaly_map.min())
    # Half a step of 16 bits.
    np.testing.assert_allclose(found, anomaly_map, rtol=1e-6, atol=span / 65535 / 1.9 + 1e-30)


def test_recovered_scores_are_good_to_a_ten_thousandth() -> None:
    anomaly_map = np.random.default_rng(0).normal(0, 3, (16, 16)).astype(np.float32)
    found = recover(raw16_png(anomaly_map, SCALE))
    largest = np.abs(anomaly_map).max()
    assert np.abs(found - anomaly_map).max() < 1e-4 * largest
    assert found.max() == pytest.approx(float(anomaly_map.max()), rel=1e-6)


def test_the_scale_is_the_maps_own_range() -> None:
    scale = raw_scale(np.array([[-1.0, 3.0]], np.float32))
    assert scale.offset == -1.0
    assert scale.offset + 65535 * scale.slope == pytest.approx(3.0)


def test_a_constant_map_is_recovered_too() -> None:
    assert raw_scale(flat(2.5)).slope == 1.0
    np.testing.assert_array_equal(recover(raw16_png(flat(2.5), SCALE)), flat(2.5))


def test_raw16_has_the_maps_own_size_in_every_style_call() -> None:
    anomaly_map = np.arange(6, dtype=np.float32).reshape(2, 3)
    png = map_png(grey(3), anomaly_map, MapStyle.RAW16, SCALE)
    assert png == raw16_png(anomaly_map, SCALE)
    assert pixels(png).shape == (2, 3)


def test_styles_are_told_apart() -> None:
    image, anomaly_map = radiograph(), flat(1.5)
    assert map_png(image, anomaly_map, MapStyle.HEAT, SCALE) == heat_png(image, anomaly_map, SCALE)
    assert map_png(image, anomaly_map, MapStyle.OVERLAY, SCALE) == overlay_png(
        image, anomaly_map, SCALE
    )


# --- outlined -----------------------------------------------------------------------------------


def test_lungs_are_outlined_over_the_overlay() -> None:
    image, anomaly_map = radiograph(size=200), flat(-5.0)
    lungs = np.zeros((20, 20), np.float32)
    lungs[5:15, 2:9] = 1.0
    plain = pixels(overlay_png(image, anomaly_map, SCALE))
    drawn = pixels(map_png(image, anomaly_map, MapStyle.OUTLINED, SCALE, lungs))
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    # Half of the way between the middles of places inside and outside.
    assert (rows.min(), rows.max()) == pytest.approx((50, 150), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((20, 90), abs=2)
    assert not ((rows > 60) & (rows < 140) & (columns > 30) & (columns < 80)).any()


def test_without_lungs_there_is_no_outline() -> None:
    image, anomaly_map = radiograph(), flat(1.5)
    drawn = map_png(image, anomaly_map, MapStyle.OUTLINED, SCALE)
    assert drawn == overlay_png(image, anomaly_map, SCALE)
