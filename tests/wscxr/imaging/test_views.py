"""Radiographs at a fraction of their size: the same picture, and less work."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydicom import Dataset
from scipy import ndimage

from tests.dicom_files import dataset, written
from tests.helpers import lung_finder
from wscxr.anatomy import LungBox, LungFields, LungNetwork, Preparation
from wscxr.anatomy.lungs import shipped_lung_network
from wscxr.engines import Network
from wscxr.errors import BlankImage, CorruptImage
from wscxr.imaging import (
    InputConfig,
    View,
    from_array,
    jpeg,
    read_radiograph,
    to_model_input,
    to_unit_range,
)
from wscxr.imaging.model_input import _percentiles
from wscxr.imaging.reduction import FACTORS, reduce, reduction

HEIGHT, WIDTH = 513, 407
"""Neither is a multiple of any factor."""


def smooth(dtype: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH))
    picture = ndimage.gaussian_filter(noise, 3)
    share = (picture - picture.min()) / np.ptp(picture)
    return np.asarray(np.round(share * np.iinfo(dtype).max), dtype)


def encode(pixels: np.ndarray, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def with_orientation(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


def means(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Of each square, those at the edge included."""
    sums, counts = pixels.astype(np.float64), np.ones(pixels.shape)
    for axis, side in enumerate(pixels.shape):
        starts = range(0, side, factor)
        sums, counts = (np.add.reduceat(part, starts, axis) for part in (sums, counts))
    return np.asarray(sums / counts)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_reducing_takes_the_mean_of_each_square(
    dtype: type[np.unsignedinteger], factor: int
) -> None:
    pixels = smooth(dtype)
    found = reduce(pixels, factor)
    assert found.dtype == dtype
    assert np.abs(found - means(pixels, factor)).max() <= 0.51


def test_a_strip_more_or_less_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reduce(smooth(np.uint16), 4)
    monkeypatch.setattr("wscxr.imaging.reduction.STRIP", 5 * WIDTH)
    np.testing.assert_array_equal(reduce(smooth(np.uint16), 4), whole)


@pytest.mark.parametrize(
    ("side", "least", "factor"),
    [(2048, 256, 8), (2047, 256, 4), (640, 320, 2), (639, 320, 1), (20, 320, 1), (9000, 32, 8)],
)
def test_no_view_has_fewer_pixels_than_wanted(side: int, least: int, factor: int) -> None:
    assert reduction(side, least) == factor


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_a_jpeg_decoded_smaller_is_the_same_picture(
    factor: int, progressive: bool, colour: bool
) -> None:
    pixels = np.dstack([smooth()] * 3) if colour else smooth()
    data = encode(pixels, "JPEG", quality=95, progressive=progressive)
    found = read_radiograph(data)
    view = found.view(WIDTH // factor)
    assert (view.factor, view.width, view.height) == (factor, WIDTH, HEIGHT)
    error = view.pixels - means(found.pixels, factor)
    # The last row and column hold what the encoder put beyond the edge.
    assert np.abs(error[:-1, :-1]).mean() < 0.6
    assert np.abs(error[:-1, :-1]).max() < 6


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_view_is_upright(tag: int) -> None:
    found = read_radiograph(encode(smooth(), "JPEG", quality=95, exif=with_orientation(tag)))
    view = found.view(WIDTH // 4)
    assert view.pixels.shape == (-(-found.height // 4), -(-found.width // 4))
    error = view.pixels - means(found.pixels, 4)
    assert np.abs(error[:-1, :-1]).mean() < 0.6


@pytest.mark.parametrize("change", [{}, {"WindowWidth": None}, {"BitsStored": 8, "HighBit": 11}])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_view_of_dicom_is_the_mean_of_its_grey_values(
    factor: int, change: dict[str, int | None]
) -> None:
    """The window is applied before the mean is taken."""
    source = _dicom(smooth(np.uint16) >> 4, **change)
    whole = read_radiograph(written(source)).pixels
    view = read_radiograph(written(source), side=WIDTH // factor).view(WIDTH // factor)
    assert np.abs(view.pixels - means(whole, factor)).max() <= 0.51


def _dicom(pixels: np.ndarray, **change: int | None) -> Dataset:
    source = dataset()
    source.Rows, source.Columns = pixels.shape
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, 12, 11
    source.WindowCenter, source.WindowWidth = 2000, 1500
    source.PixelData = pixels.astype("<u2").tobytes()
    source["PixelData"].VR = "OW"
    for name, value in change.items():
        if value is None:
            del source[name]
        else:
            setattr(source, name, value)
    return source


def test_a_jpeg_is_decoded_once_at_the_size_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And once more where somebody asks for all of its pixels."""
    decoded: list[int] = []
    real = jpeg.decode_grey

    def decode(stream: bytes, factor: int = 1) -> np.ndarray:
        decoded.append(factor)
        return real(stream, factor)

    monkeypatch.setattr(jpeg, "decode_grey", decode)
    prepare = Preparation(InputConfig(size=48), None)
    radiograph = read_radiograph(encode(smooth(), "JPEG"), side=prepare.view_side)
    prepare(radiograph)
    assert decoded == [4]
    for _ in range(2):
        assert radiograph.pixels.shape == (HEIGHT, WIDTH)
    assert decoded == [4, 1]


@pytest.mark.parametrize("lungs", [False, True])
@pytest.mark.parametrize("make", [lambda p: encode(p, "JPEG"), lambda p: encode(p, "PNG")])
def test_the_model_sees_the_same_whatever_was_decoded_before(
    make: Callable[[np.ndarray], bytes], lungs: bool
) -> None:
    prepare = Preparation(
        InputConfig(size=32), lung_finder(shipped_lung_network()) if lungs else None
    )
    data = make(smooth())
    first = prepare(read_radiograph(data, side=prepare.view_side)).tensor
    for side in (None, 1, 100):
        radiograph = read_radiograph(data, side=side)
        assert radiograph.pixels.size
        np.testing.assert_array_equal(prepare(radiograph).tensor, first)


def test_a_small_box_is_looked_at_more_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    config, box = InputConfig(size=48), LungBox(0.4, 0.4, 0.6, 0.6)
    lungs = LungFields(np.zeros((128, 128), np.float32), box)
    seen: list[int] = []

    def find(_: Network, view: View) -> LungFields:
        seen.append(view.factor)
        return lungs

    monkeypatch.setattr("wscxr.anatomy.prepare.find_lungs", find)
    radiograph = from_array(smooth())
    found = Preparation(config, lung_finder(LungNetwork()))(radiograph)
    frame = lungs.frame(radiograph)
    place = (frame.left, frame.top, frame.right, frame.bottom)
    assert seen == [2]
    np.testing.assert_array_equal(found.tensor, to_model_input(radiograph, config, place))


def test_a_box_lies_on_the_same_place_in_every_view() -> None:
    radiograph = from_array(smooth())
    box = (101.0, 53.0, 333.0, 411.0)
    whole = to_unit_range(radiograph, 64, InputConfig().intensity, box)
    seen = to_unit_range(radiograph.view(200), 64, InputConfig().intensity, box)
    assert radiograph.view(200).factor == 2
    assert np.abs(whole - seen).mean() < 0.01


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-2],
        lambda data: data[: len(data) // 2] + bytes(400) + data[len(data) // 2 + 400 :],
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("factor", FACTORS)
def test_damage_is_seen_at_every_size(
    damage: Callable[[bytes], bytes], progressive: bool, factor: int
) -> None:
    data = encode(smooth(), "JPEG", progressive=progressive)
    with pytest.raises(CorruptImage):
        read_radiograph(damage(data), side=WIDTH // factor)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_one_different_pixel_is_not_blank_in_a_view_that_does_not_show_it(format_: str) -> None:
    pixels = np.full((HEIGHT, WIDTH), 100, np.uint8)
    with pytest.raises(BlankImage):
        read_radiograph(encode(pixels, format_), side=50)
    pixels[300, 200] = 112
    found = read_radiograph(
        encode(pixels, format_, **({"quality": 99} if format_ == "JPEG" else {})), side=50
    )
    assert found.view(50).pixels.min() == found.view(50).pixels.max()


@settings(deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)))
    | arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_percentiles_are_those_of_numpy(values: np.ndarray, shares: tuple[float, float]) -> None:
    np.testing.assert_allclose(
        _percentiles(values, shares), np.percentile(values, shares), rtol=1e-9, atol=1e-6
    )
