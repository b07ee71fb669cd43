"""Radiograph -> the tensor a backbone sees."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from tests.helpers import radiograph
from wscxr.choices import Intensity
from wscxr.imaging import InputConfig, Radiograph, to_model_input

PLAIN = InputConfig(
    size=64, intensity=Intensity.FULL_RANGE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
STRETCHED = PLAIN.model_copy(update={"intensity": Intensity.PERCENTILE})


def as_radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(pixels=pixels, format="PNG")


# --- shape, range, and always finite ------------------------------------------------------------

PIXELS = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(32, 50), st.integers(32, 50))),
    arrays(np.uint16, st.tuples(st.integers(32, 50), st.integers(32, 50))),
)


@settings(deadline=None, max_examples=50)
@given(pixels=PIXELS, size=st.sampled_from([32, 47, 64]), intensity=st.sampled_from(Intensity))
def test_any_radiograph_becomes_a_finite_tensor(
    pixels: np.ndarray, size: int, intensity: Intensity
) -> None:
    tensor = to_model_input(as_radiograph(pixels), InputConfig(size=size, intensity=intensity))
    assert tensor.shape == (3, size, size)
    assert tensor.dtype == torch.float32
    assert torch.isfinite(tensor).all()
    # [0, 1] after ImageNet's normalisation.
    assert tensor.min() >= -2.12
    assert tensor.max() <= 2.65


@pytest.mark.parametrize("intensity", Intensity)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("different", [0, 1, 5])
def test_a_picture_that_is_almost_flat_gives_finite_values(
    intensity: Intensity, dtype: type[np.integer[Any]], different: int
) -> None:
    pixels = np.full((64, 64), 100, dtype)
    pixels.reshape(-1)[:different] = np.iinfo(dtype).max
    tensor = to_model_input(as_radiograph(pixels), InputConfig(size=64, intensity=intensity))
    assert torch.isfinite(tensor).all()


def test_sizes_are_bounded() -> None:
    for size in (31, 2049):
        with pytest.raises(ValidationError):
            InputConfig(size=size)
    assert InputConfig().size == 256
    assert InputConfig().intensity is Intensity.PERCENTILE


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_the_full_range_is_a_division(dtype: type[np.integer[Any]], top: int) -> None:
    pixels = np.linspace(0, top, 64 * 64).reshape(64, 64).round().astype(dtype)
    tensor = to_model_input(as_radiograph(pixels), PLAIN)
    for channel in tensor:
        np.testing.assert_allclose(channel.numpy(), pixels / top, atol=1e-6)


def test_each_channel_is_normalised_by_its_own_mean_and_deviation() -> None:
    pixels = radiograph(size=64).pixels
    plain = to_model_input(as_radiograph(pixels), PLAIN)[0]
    config = PLAIN.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (0.5, 1.0, 2.0)})
    tensor = to_model_input(as_radiograph(pixels), config)
    for channel, mean, std in zip(tensor, config.mean, config.std, strict=True):
        torch.testing.assert_close(channel, (plain - mean) / std)


def test_percentiles_are_stretched_and_what_lies_outside_is_clipped() -> None:
    pixels = np.full((64, 64), 100, np.uint8)
    pixels[32:] = 200
    pixels[0, :5] = 0
    pixels[-1, :5] = 255
    tensor = to_model_input(as_radiograph(pixels), STRETCHED)[0]
    # Five of 4,096 pixels are 0.12 %: outside the 0.5th and 99.5th percentile, 100 and 200.
    assert set(tensor[10].tolist()) == {0.0}
    assert set(tensor[50].tolist()) == {1.0}
    assert tensor.min() == 0.0
    assert tensor.max() == 1.0


@pytest.mark.parametrize("intensity", Intensity)
def test_8_and_16_bits_of_one_picture_agree(intensity: Intensity) -> None:
    config = InputConfig(size=64, intensity=intensity)
    eight = radiograph(size=150).pixels
    sixteen = eight.astype(np.uint16) * 257
    first = to_model_input(as_radiograph(eight), config)
    second = to_model_input(as_radiograph(sixteen), config)
    # The 8-bit resize rounds to whole grey levels: half of one in a pixel, and as much in each
    # of the two percentiles.
    low, high = np.percentile(eight, (1, 99))
    assert high - low > 60
    assert (first - second).abs().max() < 1.5 / (high - low) / 0.224


@settings(deadline=None, max_examples=30)
@given(gain=st.floats(0.2, 40), offset=st.integers(0, 20_000))
def test_percentiles_make_gain_and_offset_immaterial(gain: float, offset: int) -> None:
    base = np.random.default_rng(0).integers(0, 1000, (64, 64))
    reference = to_model_input(as_radiograph((base * 40).astype(np.uint16)), STRETCHED)
    changed = to_model_input(
        as_radiograph(np.round(base * gain + offset).astype(np.uint16)), STRETCHED
    )
    # Rounding to whole grey levels is all that differs.
    assert (reference - changed).abs().max() < 2 / (1000 * gain)


def test_12_bit_data_in_a_16_bit_file_uses_the_whole_range() -> None:
    base = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    assert to_model_input(as_radiograph(base), STRETCHED).max() == 1.0
    assert to_model_input(as_radiograph(base), PLAIN).max() < 0.07


# --- geometry -----------------------------------------------------------------------------------


def test_the_picture_is_squashed_and_not_turned() -> None:
    pixels = np.zeros((60, 240), np.uint8)
    pixels[:30, 120:] = 255
    tensor = to_model_input(as_radiograph(pixels), PLAIN)[0]
    assert tensor[:28, 36:].min() == 1.0
    assert tensor[36:].max() == 0.0
    assert tensor[:, :28].max() == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shrinking_averages_instead_of_picking(dtype: type[np.integer[Any]]) -> None:
    stripes = np.zeros((512, 512), dtype)
    stripes[:, ::2] = np.iinfo(dtype).max
    tensor = to_model_input(as_radiograph(stripes), PLAIN)[0]
    assert (tensor - 0.5).abs().max() < 0.02
