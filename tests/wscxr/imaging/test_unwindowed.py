"""Grey values before the window of a file, for a screen on which the window is changed."""

from typing import Any

import numpy as np
import pytest

from tests.dicom_files import dataset, picture, written
from tests.helpers import encode, noise
from wscxr.imaging import read_radiograph

WINDOW = {"WindowCenter": 1500, "WindowWidth": 800}


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(
    "more",
    [
        WINDOW,
        {**WINDOW, "RescaleSlope": 2, "RescaleIntercept": -1000},
        {},
        {"WindowCenter": 1500, "WindowWidth": 800, "PixelPaddingValue": 0},
    ],
    ids=["window", "rescaled", "no window", "padding"],
)
def test_the_first_window_gives_the_picture(more: dict[str, Any], photometric: str) -> None:
    data = written(dataset(PhotometricInterpretation=photometric, **more))
    radiograph = read_radiograph(data)
    found = radiograph.unwindowed()
    share = np.clip((found.pixels.astype(float) - found.low) / (found.high - found.low), 0, 1)
    shown = radiograph.pixels.astype(float) / 65535
    inside = (shown > 0) & (shown < 1)
    # What is black or white in the window may be more than that without it, and never less.
    np.testing.assert_allclose(share[inside], shown[inside], atol=0.01)
    assert share[shown == 0].max(initial=0) <= 0.01
    assert share[shown == 1].min(initial=1) >= 0.99


def test_what_lies_outside_the_window_can_be_told_apart() -> None:
    stored = picture(12)
    radiograph = read_radiograph(written(dataset(WindowCenter=2048, WindowWidth=64)))
    assert len(np.unique(radiograph.unwindowed().pixels)) == len(np.unique(stored))
    assert len(np.unique(radiograph.pixels)) < 0.2 * len(np.unique(stored))


def test_files_without_a_window() -> None:
    eight = read_radiograph(encode(noise()))
    found = eight.unwindowed()
    assert (found.low, found.high) == (0, 255)
    np.testing.assert_array_equal(found.pixels, eight.pixels)
    deep = read_radiograph(encode(noise().astype(np.uint16) * 100 + 7))
    assert (deep.unwindowed().low, deep.unwindowed().high) == (deep.pixels.min(), deep.pixels.max())
