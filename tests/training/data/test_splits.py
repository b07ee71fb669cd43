import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import tiny_config
from training.data.samples import Label, Sample
from training.data.splits import TrainSplit, draw_split
from wscxr.errors import NotEnoughImages


def normals(patients: Sequence[str | None]) -> list[Sample]:
    return [Sample(Path(f"n{i}"), Label.NORMAL, patient) for i, patient in enumerate(patients)]


def abnormals(count: int) -> list[Sample]:
    return [Sample(Path(f"a{i}"), Label.ABNORMAL) for i in range(count)]


def draw(n: int, *, a: int = 3, **changes: object) -> TrainSplit:
    return draw_split(normals([None] * n) + abnormals(a), tiny_config(**changes))


PATIENTS = st.lists(
    st.none() | st.sampled_from([f"p{i}" for i in range(8)]), min_size=4, max_size=40
).filter(lambda ids: len(set(ids) - {None}) + ids.count(None) >= 2)


@settings(deadline=None)
@given(
    patients=PATIENTS,
    seed=st.integers(0, 2**32 - 1),
    fraction=st.floats(0.05, 0.5),
    rate=st.floats(0.02, 0.9),
    k=st.integers(1, 5),
)
def test_every_image_has_one_place_and_no_patient_two(
    patients: list[str | None], seed: int, fraction: float, rate: float, k: int
) -> None:
    samples = normals(patients) + abnormals(5)
    config = tiny_config(seed=seed, calibration_fraction=fraction, false_alarm_rate=rate, k=k)
    split = draw_split(samples, config)
    # All normals are used, once.
    used = sorted(sample.path.name for sample in [*split.normal, *split.calibration])
    assert used == sorted(f"n{i}" for i in range(len(patients)))
    assert split.normal
    assert split.calibration
    fit, aside = (
        {s.patient_id for s in part} - {None} for part in (split.normal, split.calibration)
    )
    assert not fit & aside
    assert len({sample.path for sample in split.anomaly}) == k
    assert {sample.label for sample in split.anomaly} == {Label.ABNORMAL}
    assert split.samples == split.normal + split.calibration + split.anomaly
    assert draw_split(samples, config) == split


@given(
    n=st.integers(2, 200), fraction=st.floats(0.05, 0.5), rate=st.sampled_from([0.01, 0.05, 0.2])
)
@settings(deadline=None, max_examples=50)
def test_how_many_are_kept_aside(n: int, fraction: float, rate: float) -> None:
    split = draw(n, calibration_fraction=fraction, false_alarm_rate=rate)
    needed = {0.01: 99, 0.05: 19, 0.2: 4}[rate]
    assert len(split.calibration) == min(max(round(fraction * n), needed, 1), n // 2)


@pytest.mark.parametrize(
    ("n", "rate", "aside"),
    [
        (400, 0.05, 80),  # the fraction, 20 %
        (50, 0.05, 19),  # what a rate of 5 % needs
        (30, 0.05, 15),  # but no more than half
        (3, 0.05, 1),
        (2, 0.5, 1),
    ],
)
def test_how_many_are_kept_aside_by_hand(n: int, rate: float, aside: int) -> None:
    split = draw(n, false_alarm_rate=rate)
    assert len(split.calibration) == aside
    assert len(split.normal) == n - aside


def test_enough_are_kept_aside_for_the_rate_to_be_met() -> None:
    for rate in (0.01, 0.03, 0.05, 0.1, 1 / 3):
        n = len(draw(1000, false_alarm_rate=rate, calibration_fraction=0.001).calibration)
        assert math.floor(rate * (n + 1) + 1e-9) == 1


def test_patients_are_counted_and_not_images() -> None:
    """One patient with many images does not take the place of many."""
    patients = ["many"] * 60 + [f"p{i}" for i in range(39)]
    for seed in range(5):
        split = draw_split(
            normals(patients) + abnormals(3), tiny_config(seed=seed, calibration_fraction=0.5)
        )
        assert len({sample.patient_id for sample in split.calibration}) == 20


def test_seeds_draw_differently() -> None:
    splits = [draw(40, a=30, seed=seed) for seed in range(4)]
    assert len({tuple(s.path.name for s in split.calibration) for split in splits}) == 4
    assert len({tuple(s.path.name for s in split.anomaly) for split in splits}) == 4


def test_every_anomaly_image_can_be_drawn() -> None:
    drawn = {s.path.name for seed in range(60) for s in draw(4, a=6, k=2, seed=seed).anomaly}
    assert drawn == {f"a{i}" for i in range(6)}


def test_all_anomaly_images_are_used_when_there_are_just_k() -> None:
    assert [sample.path.name for sample in draw(4, a=3, k=3).anomaly] == ["a0", "a1", "a2"]
    assert len(draw(4, a=1, k=1).anomaly) == 1


def test_fewer_anomaly_images_than_k_is_an_error() -> None:
    with pytest.raises(NotEnoughImages, match=r"K = 4 anomaly images were asked for.* there are 3"):
        draw(10, a=3, k=4)


@pytest.mark.parametrize("patients", [[], [None], ["p", "p", "p"]])
def test_calibration_needs_two_patients(patients: list[str | None]) -> None:
    with pytest.raises(NotEnoughImages, match="two patients"):
        draw_split(normals(patients) + abnormals(3), tiny_config())


def test_no_patient_of_an_anomaly_image_is_in_calibration() -> None:
    both = [Sample(Path("sick"), Label.ABNORMAL, "p1")]
    healthy = normals([f"p{i}" for i in range(6)])
    for seed in range(20):
        split = draw_split(healthy + both, tiny_config(k=1, seed=seed))
        assert "p1" not in {sample.patient_id for sample in split.calibration}
        assert "p1" in {sample.patient_id for sample in split.normal}
