import numpy as np
import pytest

from tests.training.pretraining.lesions.chests import SIDE, chest, mean, stream
from training.pretraining.lesions import lesions
from training.pretraining.lesions.chest import NormalChest
from training.pretraining.lesions.innocent import add_devices, add_soft_tissue, expose
from training.pretraining.lesions.lesions import LESIONS, Lesion
from training.pretraining.lesions.paint import paint, stretch

SEEDS = range(12)


@pytest.mark.parametrize("lesion", LESIONS, ids=lambda lesion: lesion.__name__)
def test_a_lesion_changes_its_region_and_nothing_else(lesion: Lesion) -> None:
    changed = []
    for seed in SEEDS:
        normal = chest(seed)
        painted, region = lesion(normal, chest(99), stream(seed))
        assert painted.dtype == region.dtype == np.float32
        assert painted.shape == region.shape == (SIDE, SIDE)
        assert region.min() >= 0
        assert region.max() <= 1 + 1e-4
        difference = np.abs(painted - normal.pixels)
        assert difference[region < 1e-4].max(initial=0) < 0.02
        changed.append(difference[region > 0.5].mean() if (region > 0.5).any() else 0)
    assert np.median(changed) > 0.01


@pytest.mark.parametrize(
    "lesion",
    [lesions.consolidation, lesions.zone, lesions.diffuse, lesions.effusion, lesions.nodules],
)
def test_what_takes_air_out_of_a_lung_brightens_it(lesion: Lesion) -> None:
    for seed in SEEDS:
        normal = chest(seed)
        painted, region = lesion(normal, chest(99), stream(seed))
        inside = region * normal.lungs
        if (inside > 0.5).any():
            assert mean(painted, inside) > mean(normal.pixels, inside)


@pytest.mark.parametrize("lesion", [lesions.pneumothorax, lesions.bulla])
def test_air_darkens(lesion: Lesion) -> None:
    for seed in SEEDS:
        normal = chest(seed)
        painted, _ = lesion(normal, chest(99), stream(seed))
        assert (painted - normal.pixels).min() < -0.015


def test_fluid_follows_gravity() -> None:
    """Upright, the lowest part of the lung is white before any other."""
    for seed in SEEDS:
        _, region = lesions.effusion(chest(), chest(99), stream(seed))
        for columns in (slice(8, 40), slice(56, 88)):
            lung = region[8:88, columns].mean(axis=1)
            assert lung[70:].mean() >= lung[:10].mean()


def test_a_white_lung_is_as_bright_as_soft_tissue() -> None:
    normal = chest()
    white = normal.densify(normal.lungs, 1.0, detail=0.0, level=normal.tissue)
    assert mean(white, normal.lungs) == pytest.approx(normal.tissue, abs=0.06)


def test_lungs_are_told_apart() -> None:
    normal = chest()
    assert 0.42 <= normal.middle <= 0.58
    np.testing.assert_array_equal(normal.lung(0) + normal.lung(1), normal.lungs)
    assert normal.lung(0)[:, SIDE // 2 + 4 :].max() == 0


def test_pictures_without_a_lesion_have_an_empty_target() -> None:
    for seed in SEEDS:
        picture, target = paint(chest(seed), chest(99), stream(seed), lesion_share=0.0)
        assert not target.any()
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_a_painted_picture_says_where_its_lesion_is() -> None:
    found = [paint(chest(s), chest(99), stream(s), lesion_share=1.0)[1].max() for s in SEEDS]
    assert np.mean(np.array(found) > 0.3) > 0.8


def test_a_seed_paints_the_same_picture() -> None:
    first, second = (paint(chest(), chest(99), stream(3), lesion_share=1.0) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_devices_only_brighten() -> None:
    normal = chest()
    changed = [add_devices(normal, stream(seed)) - normal.pixels for seed in range(40)]
    assert min(float(change.min()) for change in changed) > -1e-3
    assert np.mean([change.max() > 0.05 for change in changed]) > 0.4


def test_soft_tissue_and_exposure_stay_finite() -> None:
    for seed in SEEDS:
        with_tissue = NormalChest(add_soft_tissue(chest(seed), stream(seed)), chest(seed).lungs)
        assert np.isfinite(expose(with_tissue, stream(seed))).all()


def test_stretching_fills_the_range() -> None:
    picture = stretch(0.3 * chest().pixels + 0.2)
    assert (picture.min(), picture.max()) == (0, 1)
