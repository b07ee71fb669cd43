import io
from pathlib import Path
from typing import Any

import cmap
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import jaccard_score, roc_auc_score
from torch.nn import functional

from tests.helpers import radiograph
from training.data.annotations import GRID, read_masks
from training.evaluation import localisation
from training.evaluation.localisation import (
    lesion_recall,
    localise,
    location_prior,
    measure,
    pointing_game,
    sweep_threshold,
    upsample,
)
from training.evaluation.results import LocalisationMetrics
from wscxr.errors import DataError, NotEnoughImages
from wscxr.results.png import ColourScale, heat_png

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


def as_map(*rows: list[float]) -> Map:
    return np.array(rows, np.float32)


def as_mask(*rows: str) -> Mask:
    """``#`` is lesion."""
    return np.array([[place == "#" for place in row] for row in rows])


def rectangle(top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros((GRID, GRID), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


# Two images of 2 x 3 pixels. Lesions have the values 3, 6 and 2; the rest 1, 2, 4, 5 and 0, 0, 7,
# 1, 1.
MAPS = [as_map([1, 2, 3], [4, 5, 6]), as_map([0, 0, 2], [7, 1, 1])]
REGIONS = [as_mask("..#", "..#"), as_mask("..#", "...")]


# --- by hand ------------------------------------------------------------------------------------


def test_pixel_auroc_by_hand() -> None:
    """Of 3 x 9 pairs, the lesion pixel is larger in 8 (the 6), 6 (the 3), and 5 and one tie (2)."""
    assert sweep_threshold(MAPS, REGIONS)[0] == pytest.approx((8 + 6 + 5.5) / 27)


def test_best_iou_by_hand() -> None:
    """One threshold for both images.

    From 7 to 0: (0 + 0) / 2, (1/2 + 0) / 2, (1/3 + 0) / 2, (1/4 + 0) / 2, (2/4 + 0) / 2,
    (2/5 + 1/2) / 2, (2/6 + 1/4) / 2, (2/6 + 1/6) / 2: 0.45 at 2 is the largest.
    """
    assert sweep_threshold(MAPS, REGIONS)[1:] == pytest.approx((0.45, 2.0))


def test_of_equally_good_thresholds_the_largest_is_named() -> None:
    """Calling 3 alone gives 1/2, then 1/3, then 1/4, and all of it gives 2/4."""
    found = sweep_threshold([as_map([3, 2], [1, 0])], [as_mask("#.", ".#")])
    assert found[1:] == (0.5, 3.0)


def test_pointing_game_by_hand() -> None:
    """The 6 lies in a lesion, the 7 does not; two of three tied 5s do."""
    assert pointing_game(MAPS, REGIONS) == 0.5
    tied = as_map([5, 5, 0], [0, 0, 5])
    assert pointing_game([tied], [as_mask("##.", "##.")]) == pytest.approx(2 / 3)
    assert pointing_game([*MAPS, tied], [*REGIONS, as_mask("##.", "##.")]) == pytest.approx(
        (1 + 0 + 2 / 3) / 3
    )


def test_lesion_recall_by_hand() -> None:
    """The most anomalous tenth of 100 pixels is the last row; a quarter must lie in it."""
    rising = np.arange(100, dtype=np.float32).reshape(10, 10)
    quarter, fifth, none = np.zeros((3, 10, 10), np.bool_)
    quarter[6:10, 0] = True
    fifth[5:10, 4] = True
    none[5:9, 9] = True  # up to 89, the eleventh
    assert lesion_recall([rising], [[quarter, fifth, none]]) == pytest.approx(1 / 3)
    # Lesions count, not images: 1 of 3, and then 1 of 1.
    assert lesion_recall([rising, rising], [[quarter, fifth, none], [quarter]]) == 0.5


def test_ties_share_the_last_places_of_the_most_anomalous_tenth() -> None:
    """Of 10 places five go to the 2s, the others to the twenty 1s: a quarter of each."""
    steps = np.zeros((10, 10), np.float32)
    steps[0, :5] = 2
    steps[1:3] = 1
    within, mostly, one_of_four = np.zeros((3, 10, 10), np.bool_)
    within[1, :4] = True  # 4 x 1/4 of 4
    mostly[1:4, 9] = True  # 2 x 1/4 of 3
    one_of_four[0, 4:8] = True  # 1 of 4
    assert lesion_recall([steps], [[within, mostly, one_of_four]]) == pytest.approx(2 / 3)


def test_the_prior_by_hand() -> None:
    regions = np.array([as_mask("##.", "..."), as_mask("#..", "..."), as_mask("#..", "..#")])
    np.testing.assert_allclose(
        location_prior(regions),
        [
            as_map([1, 0, 0], [0, 0, 0.5]),
            as_map([1, 0.5, 0], [0, 0, 0.5]),
            as_map([1, 0.5, 0], [0, 0, 0]),
        ],
    )


def test_localise_by_hand() -> None:
    """Two images, one lesion of a quarter and one of an eighth; the prior is the other's lesion.

    With 1 inside each lesion and 0 elsewhere, the tenth has room for 0.1 / 0.25 = 2/5 of the
    first and 0.1 / 0.125 = 4/5 of the second. The second lies in the first, so the prior is right
    about half of the first and all of the second.
    """
    large, small = rectangle(0, 128, 0, 128), rectangle(0, 64, 0, 128)
    found = localise([large.astype(np.float32), small.astype(np.float32)], [[large], [small]])
    assert (found.n_images, found.n_lesions) == (2, 2)
    perfect = LocalisationMetrics(
        pixel_auroc=1, pointing_game=1, best_iou=1, best_iou_threshold=1, lesion_recall=1
    )
    assert found.model == perfect
    assert found.constant == LocalisationMetrics(
        pixel_auroc=0.5,
        pointing_game=(1 / 4 + 1 / 8) / 2,
        best_iou=(1 / 4 + 1 / 8) / 2,
        best_iou_threshold=0,
        lesion_recall=0,
    )
    # In eighths of an image, lesion is 2 + 1 and the rest 6 + 7. The prior is 1 on 1 + 1 of the
    # lesion and on 0 + 1 of the rest: better in 2 x 12 of 3 x 13 pairs, tied in 2 x 1 + 1 x 12.
    assert found.location_prior is not None
    assert found.location_prior.model_dump() == pytest.approx(
        {
            "pixel_auroc": (2 * 12 + (2 * 1 + 1 * 12) / 2) / (3 * 13),
            "pointing_game": (1 + 1 / 2) / 2,
            "best_iou": (1 / 2 + 1 / 2) / 2,
            "best_iou_threshold": 1,
            "lesion_recall": 1,  # 4/5 of half of the first, 2/5 of the second
        }
    )


# --- laws -----------------------------------------------------------------------------------------


few = settings(max_examples=25, deadline=None)


@st.composite
def annotated_maps(draw: st.DrawFn) -> tuple[list[Map], list[list[Mask]]]:
    """A few small maps with ties, each with lesions that leave something out."""
    shape = draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    maps, lesions = [], []
    for _ in range(draw(st.integers(1, 4))):
        values = draw(arrays.arrays(np.int8, shape, elements=st.integers(-6, 6)))
        masks = draw(
            st.lists(arrays.arrays(np.bool_, shape).filter(np.any), min_size=1, max_size=3)
        )
        for mask in masks:
            mask.flat[0], mask.flat[-1] = False, True
        maps.append(values.astype(np.float32))
        lesions.append(masks)
    return maps, lesions


@few
@given(annotated_maps())
def test_only_the_order_of_map_values_counts(drawn: tuple[list[Map], list[list[Mask]]]) -> None:
    maps, lesions = drawn
    found = measure(maps, lesions)
    for change in (np.exp, np.cbrt, lambda values: 100 * values - 7):
        changed = measure([change(values).astype(np.float32) for values in maps], lesions)
        threshold = change(np.float32(found.best_iou_threshold))
        assert changed.best_iou_threshold == pytest.approx(threshold, rel=1e-5)
        assert changed == found.model_copy(
            update={"best_iou_threshold": changed.best_iou_threshold}
        )


@few
@given(annotated_maps())
def test_it_does_not_matter_which_way_an_image_lies(
    drawn: tuple[list[Map], list[list[Mask]]],
) -> None:
    maps, lesions = drawn
    found = measure(maps, lesions).model_dump()
    for turn in (np.fliplr, np.flipud, np.transpose):
        turned = measure(
            [turn(values) for values in maps],
            [[turn(mask) for mask in masks] for masks in lesions],
        )
        assert turned.model_dump() == pytest.approx(found)


@few
@given(annotated_maps())
def test_sweeping_agrees_with_scikit_learn(drawn: tuple[list[Map], list[list[Mask]]]) -> None:
    maps, lesions = drawn
    regions = [np.any(masks, axis=0) for masks in lesions]
    auroc, iou, threshold = sweep_threshold(maps, regions)
    truth, scores = np.concatenate(regions, axis=None), np.concatenate(maps, axis=None)
    assert auroc == pytest.approx(roc_auc_score(truth, scores))
    ious = {
        float(level): np.mean(
            [
                jaccard_score(region.ravel(), (values >= level).ravel(), zero_division=0.0)
                for values, region in zip(maps, regions, strict=True)
            ]
        )
        for level in np.unique(scores)
    }
    assert iou == pytest.approx(max(ious.values()))
    assert ious[threshold] == pytest.approx(iou)


def test_more_values_than_levels_change_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    regions = rng.random((5, GRID, GRID)) < 0.05
    maps = (rng.standard_normal(regions.shape) + regions).astype(np.float32)
    assert maps.size > 4 * localisation.LEVELS
    coarse = sweep_threshold(maps, regions)
    monkeypatch.setattr(localisation, "LEVELS", maps.size)
    exact = sweep_threshold(maps, regions)
    assert exact[0] == pytest.approx(roc_auc_score(regions.ravel(), maps.ravel()), abs=1e-9)
    assert coarse[0] == pytest.approx(exact[0], abs=1e-5)
    assert coarse[1] == pytest.approx(exact[1], abs=1e-4)


def test_the_prior_of_an_image_never_sees_its_own_annotation() -> None:
    rng = np.random.default_rng(0)
    regions = rng.random((5, 7, 6)) < 0.3
    for image in range(5):
        prior = location_prior(regions)[image]
        others = np.delete(regions, image, axis=0)
        np.testing.assert_allclose(prior, others.mean(axis=0), rtol=1e-6)
        changed = regions.copy()
        changed[image] = ~regions[image]
        np.testing.assert_array_equal(location_prior(changed)[image], prior)


def test_places_where_the_other_images_agree_are_ties() -> None:
    """Equal counts are equal values, to the last bit, or the pointing game is decided by noise."""
    regions = np.random.default_rng(0).random((50, 8, 8)) < 0.5
    assert len(np.unique(location_prior(regions))) <= 50


# --- maps of a model ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 2), (7, 5), (48, 48), (256, 256)])
def test_maps_are_upsampled_bilinearly_between_pixel_centres(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(0).random(shape, dtype=np.float32)
    expected = functional.interpolate(
        torch.from_numpy(small)[None, None], (GRID, GRID), mode="bilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(upsample(small), expected.numpy(), atol=1e-5)


def test_what_is_measured_is_what_is_drawn() -> None:
    small = np.random.default_rng(0).random((12, 12), dtype=np.float32)
    picture = heat_png(radiograph(size=GRID), small, ColourScale(low=0.0, high=1.0))
    with Image.open(io.BytesIO(picture)) as image:
        drawn = np.asarray(image.convert("RGB"), dtype=np.int64)
    colours = (cmap.Colormap("inferno").lut(256)[:, :3] * 255).round().astype(np.int64)
    level = {tuple(colour): number for number, colour in enumerate(colours.tolist())}
    levels = np.apply_along_axis(lambda pixel: level[tuple(pixel)], 2, drawn)
    np.testing.assert_allclose(levels / 255, upsample(small), atol=2 / 255)


def test_a_constant_map_of_a_model_is_the_constant_map() -> None:
    lesions = [[rectangle(3, 90, 17, 60)], [rectangle(0, 9, 0, 9), rectangle(50, 60, 99, 140)]]
    found = localise([np.full((14, 14), 0.1, np.float32)] * 2, lesions)
    assert found.model.model_dump(exclude={"best_iou_threshold"}) == found.constant.model_dump(
        exclude={"best_iou_threshold"}
    )


def test_the_masks_of_phantoms_find_their_own_lesions(phantoms: Path) -> None:
    masks = read_masks(phantoms / "masks")
    lesions = [masks.lesions(path) for path in sorted((phantoms / "abnormal").iterdir())]
    found = localise([np.any(masks, axis=0).astype(np.float32) for masks in lesions], lesions)
    assert (found.n_images, found.n_lesions) == (6, sum(map(len, lesions)))
    assert set(found.model.model_dump().values()) == {1.0}
    assert found.location_prior is not None
    assert 0.5 < found.location_prior.pixel_auroc < 0.95


def test_several_lesions_of_an_image_are_one_region_but_count_apart() -> None:
    upper, lower = rectangle(0, 20, 0, 20), rectangle(200, 220, 0, 20)
    found = localise([upper.astype(np.float32)], [[upper, lower]])
    assert (found.n_images, found.n_lesions) == (1, 2)
    assert found.model.pointing_game == 1
    assert found.model.best_iou == pytest.approx(0.5)
    assert found.model.lesion_recall == 0.5


def test_one_image_has_no_others_to_make_a_prior_of() -> None:
    assert localise([np.eye(8, dtype=np.float32)], [[rectangle(0, 9, 0, 9)]]).location_prior is None


@pytest.mark.parametrize(
    ("maps", "lesions", "error"),
    [
        ([], [], NotEnoughImages),
        ([np.eye(8, dtype=np.float32)], [[rectangle(0, GRID, 0, GRID)]], DataError),
    ],
)
def test_nothing_to_tell_apart_is_refused(
    maps: list[Map], lesions: Any, error: type[DataError]
) -> None:
    with pytest.raises(error):
        localise(maps, lesions)
