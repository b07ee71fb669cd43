import numpy as np
import pytest
from scipy.signal import convolve2d

from tests.helpers import noise
from training.evaluation.confounders import trivial_features
from wscxr.imaging import Radiograph


def radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(pixels=pixels, format="PNG")


def test_features_by_hand() -> None:
    pixels = np.full((40, 60), 51, np.uint8)
    pixels[2:-2, 3:-3] = 102  # all but the outermost 5 % of each side
    inner, frame = 36 * 54, 40 * 60 - 36 * 54
    found = trivial_features(radiograph(pixels), 1234)
    assert (found.file_size, found.width, found.height) == (1234, 60, 40)
    mean = (0.4 * inner + 0.2 * frame) / (40 * 60)
    assert found.mean == pytest.approx(mean)
    variance = (inner * (0.4 - mean) ** 2 + frame * (0.2 - mean) ** 2) / (40 * 60)
    assert found.contrast == pytest.approx(np.sqrt(variance))
    assert found.border_brightness == pytest.approx(0.2)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    pixels = noise(30, 50)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    expected = convolve2d(np.pad(pixels / 255, 1, "edge"), kernel, mode="valid").var()
    assert trivial_features(radiograph(pixels), 1).sharpness == pytest.approx(expected, rel=1e-5)
    ramp = np.tile(np.arange(0, 200, 4, dtype=np.uint8), (30, 1))
    assert trivial_features(radiograph(ramp), 1).sharpness < expected / 100


def test_a_depth_of_16_bits_gives_the_same_features() -> None:
    pixels = noise()
    deep = trivial_features(radiograph(pixels.astype(np.uint16) * 257), 7)
    shallow = trivial_features(radiograph(pixels), 7)
    assert vars(deep) == pytest.approx(vars(shallow), rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 2), (2, 90), (9, 9)])
def test_small_images_have_a_frame_of_one_pixel(shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 255
    assert trivial_features(radiograph(pixels), 1).border_brightness == (
        1 if shape != (2, 90) else pytest.approx(1)
    )
