from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from training.phantoms import make_phantom, write_phantoms

SEEDS = range(6)


@pytest.mark.parametrize("abnormal", [False, True])
def test_the_same_seed_gives_the_same_phantom(abnormal: bool) -> None:
    first = make_phantom(3, abnormal=abnormal)
    second = make_phantom(3, abnormal=abnormal)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.lesion_mask, second.lesion_mask)


@pytest.mark.parametrize("size", [64, 97, 256])
def test_a_phantom_is_a_square_of_grey_levels_that_uses_the_range(size: int) -> None:
    for seed in SEEDS:
        phantom = make_phantom(seed, abnormal=True, size=size)
        assert phantom.pixels.shape == phantom.lesion_mask.shape == (size, size)
        assert phantom.pixels.dtype == np.uint8
        assert phantom.lesion_mask.dtype == np.bool_
        low, high = np.percentile(phantom.pixels, [1, 99])
        assert low < 40
        assert high > 190


@pytest.mark.parametrize("seed", SEEDS)
def test_opacities_are_all_that_tells_abnormal_from_normal(seed: int) -> None:
    normal = make_phantom(seed, abnormal=False)
    abnormal = make_phantom(seed, abnormal=True)
    around = ndimage.binary_dilation(abnormal.lesion_mask, np.ones((3, 3)), iterations=8)
    np.testing.assert_array_equal(normal.pixels[~around], abnormal.pixels[~around])
    inside = abnormal.lesion_mask
    gain = abnormal.pixels[inside].mean() - normal.pixels[inside].mean()
    assert gain > 15, "opacities must be brighter than the lung they replace"


@pytest.mark.parametrize("seed", range(20))
def test_opacities_are_inside_the_image_and_only_in_abnormal_ones(seed: int) -> None:
    assert not make_phantom(seed, abnormal=False).lesion_mask.any()
    mask = make_phantom(seed, abnormal=True).lesion_mask
    assert 0.002 < mask.mean() < 0.25
    border = np.ones_like(mask)
    border[8:-8, 8:-8] = False
    assert not mask[border].any()


def test_different_seeds_give_different_anatomies() -> None:
    images = [make_phantom(seed, abnormal=False).pixels.astype(float) for seed in SEEDS]
    for first, second in pairwise(images):
        # Far more than noise alone would make.
        assert np.abs(ndimage.uniform_filter(first - second, 9)).mean() > 4


@pytest.mark.parametrize(("seed", "size"), [(-1, 256), (0, 63)])
def test_bad_arguments_are_refused(seed: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"size|seed|non-negative"):
        make_phantom(seed, abnormal=True, size=size)


def test_files_are_written_under_their_names(tmp_path: Path) -> None:
    write_phantoms(tmp_path, normal=3, abnormal=2, size=64, seed=1)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert names == [
        "abnormal/0000.png",
        "abnormal/0001.png",
        "masks/0000.png",
        "masks/0001.png",
        "normal/0000.png",
        "normal/0001.png",
        "normal/0002.png",
    ]
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert (image.mode, image.size) == ("L", (64, 64))
    with Image.open(tmp_path / "masks/0000.png") as mask:
        assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert len({path.read_bytes() for path in tmp_path.rglob("*.png")}) == 7


def test_writing_is_reproducible_and_depends_on_the_seed(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantoms(tmp_path / folder, normal=1, abnormal=1, size=64, seed=seed)
    for name in ("normal/0000.png", "abnormal/0000.png", "masks/0000.png"):
        a, b, c = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert a == b
        assert a != c


def test_negative_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative"):
        write_phantoms(tmp_path, normal=-1, abnormal=0)
    assert not any(tmp_path.iterdir())
