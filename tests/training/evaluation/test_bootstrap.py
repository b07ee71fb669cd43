from collections.abc import Hashable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from training.evaluation.bootstrap import estimate_areas, weighted_areas
from training.evaluation.results import Estimate

# --- the areas ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_weighted_areas_are_scikit_learns(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 12))
    scores = -np.sort(-np.array(data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))))
    abnormal = np.array(data.draw(st.permutations([True, False] + [True, False, False] * 4)))[:n]
    abnormal[:2] = [False, True]
    weights = np.array(
        data.draw(
            st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=3)
        )
    )
    weights[:, :2] += 1
    found = weighted_areas(abnormal, scores, weights)
    for row, counts in zip(found, weights, strict=True):
        assert row[0] == pytest.approx(roc_auc_score(abnormal, scores, sample_weight=counts))
        expected = average_precision_score(abnormal, scores, sample_weight=counts)
        assert row[1] == pytest.approx(expected)


# --- intervals ----------------------------------------------------------------------------------


def coverage(patients: int, images: int, auroc: float, *, datasets: int, by_patient: bool) -> float:
    """Share of simulated data sets whose interval holds the true AUROC.

    Scores are binormal, so that it is known: Phi(d / sqrt(2)). Of each class there are `patients`
    with `images` each, whose scores correlate by 0.8.
    """
    distance = np.sqrt(2) * norm.ppf(auroc)
    patient = np.repeat(np.arange(2 * patients), images)
    abnormal = patient >= patients
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(datasets):
        own, shared = rng.normal(size=len(patient)), rng.normal(size=2 * patients)[patient]
        scores = np.sqrt(0.2) * own + np.sqrt(0.8) * shared + distance * abnormal
        found, _ = estimate_areas(abnormal, scores, groups=patient.tolist() if by_patient else None)
        held += found.low <= auroc <= found.high
    return held / datasets


@pytest.mark.parametrize("auroc", [0.7, 0.95])
def test_intervals_hold_the_true_auroc_as_often_as_promised(auroc: float) -> None:
    assert 0.89 <= coverage(25, 1, auroc, datasets=120, by_patient=False) <= 0.99


def test_only_patients_cover_where_their_images_are_alike() -> None:
    assert coverage(20, 4, 0.85, datasets=80, by_patient=True) >= 0.86
    assert coverage(20, 4, 0.85, datasets=80, by_patient=False) <= 0.80


def areas(
    normal: Sequence[float],
    abnormal: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[Estimate, Estimate]:
    labels = np.array([False] * len(normal) + [True] * len(abnormal))
    return estimate_areas(labels, np.array([*normal, *abnormal]), groups=groups, seed=seed)


NORMAL = [0.1, 0.3, 0.35, 0.6, 0.9]
ABNORMAL = [0.2, 0.7, 0.75, 0.8, 0.95]


def test_the_seed_decides_and_the_order_of_images_does_not() -> None:
    names = ["a", "a", "b", "c", "d", "e", "e", "f", "g", "g"]
    found = areas(NORMAL, ABNORMAL, names)
    assert areas(NORMAL, ABNORMAL, names) == found
    assert areas(NORMAL, ABNORMAL, names, seed=1) != found
    back = areas(NORMAL[::-1], ABNORMAL[::-1], names[4::-1] + names[:4:-1])
    for one, other in zip(back, found, strict=True):
        assert one.model_dump() == pytest.approx(other.model_dump(), rel=1e-12)


def test_names_of_patients_do_not_matter() -> None:
    names = [f"patient {i * 3 % 10}" for i in range(10)]
    assert areas(NORMAL, ABNORMAL, names) == areas(NORMAL, ABNORMAL)


def test_intervals_lie_around_the_value_inside_the_unit_interval() -> None:
    for found in areas(NORMAL, ABNORMAL):
        assert 0 < found.low < found.value < found.high < 1


def test_a_patient_of_both_classes_is_drawn_with_all_its_images() -> None:
    # Were normal and abnormal images drawn apart, the large shifts between patients would show.
    rng = np.random.default_rng(0)
    shift = 10 * rng.normal(size=60)
    names = [*range(60), *range(60)]
    normal, abnormal = shift + rng.normal(size=60), shift + rng.normal(size=60) + 1
    paired, _ = areas(normal.tolist(), abnormal.tolist(), names)
    apart, _ = areas(normal.tolist(), abnormal.tolist())
    assert paired.high - paired.low < (apart.high - apart.low) / 2


@pytest.mark.parametrize("images", [2, 5, 40])
def test_a_perfect_separation_is_not_called_certain(images: int) -> None:
    bound = binomtest(images, images).proportion_ci(0.95, method="exact").low
    for found in areas([0.0] * images, [1.0] * 40):
        assert found.value == found.high == 1
        assert found.low == pytest.approx(bound)
    worst, _ = areas([1.0] * images, [0.0] * 40)
    assert (worst.value, worst.low) == (0, 0)
    assert worst.high == pytest.approx(1 - bound)


def test_a_perfect_separation_counts_patients_not_images() -> None:
    names = [0, 0, 0, 1, 2, 2, 3, 4, 5, 6]
    found, _ = areas([0.0] * 5, [1.0] * 5, names)
    # Normal images are of patients 0, 1, 2, abnormal ones of 2 to 6: three disjoint pairs.
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    # Of four patients with both, two give the normal and two the abnormal images.
    found, _ = areas([0.0] * 4, [1.0] * 4, [1, 2, 3, 4, 1, 2, 3, 4])
    assert found.low == pytest.approx(0.025 ** (1 / 2))


def test_a_single_patient_says_nothing_of_the_next() -> None:
    for normal, abnormal, names in [
        ([0.0], [1.0], None),
        ([0.5], [0.5], None),
        (NORMAL, [0.5], None),
        ([0.4], ABNORMAL, None),
        (NORMAL, ABNORMAL, [1, 2, 3, 4, 5, 6, 6, 6, 6, 6]),
        (NORMAL, ABNORMAL, [1] * 10),
    ]:
        for found in areas(normal, abnormal, names):
            assert (found.low, found.high) == (0, 1)


def test_scores_that_all_tie() -> None:
    auroc, precision = areas([0.5] * 6, [0.5] * 3)
    assert auroc.value == auroc.low == auroc.high == 0.5
    assert precision.value == pytest.approx(1 / 3)
