import math
from collections.abc import Sequence

import numpy as np
import pytest

from wscxr.errors import GoldenCheckFailed
from wscxr.golden import TOLERANCE, GoldenCase, check_golden, make_golden
from wscxr.imaging import Radiograph


def mean_grey(radiographs: Sequence[Radiograph]) -> list[float]:
    return [float(r.pixels.mean()) / 255 for r in radiographs]


def test_making_records_the_scores_of_the_very_images() -> None:
    cases = make_golden(mean_grey)
    assert len(cases) >= 2
    assert [case.score for case in cases] == mean_grey([case.radiograph() for case in cases])
    check_golden(cases, mean_grey)


def test_images_are_the_same_every_time_and_differ_from_each_other() -> None:
    first, again = make_golden(mean_grey), make_golden(mean_grey)
    assert first == again
    assert len({case.png for case in first}) == len(first)


def test_images_have_structure() -> None:
    for case in make_golden(mean_grey):
        pixels = case.radiograph().pixels
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert np.abs(np.diff(pixels.astype(int), axis=1)).mean() > 1


def test_all_images_are_scored_in_one_batch() -> None:
    calls: list[int] = []

    def score(radiographs: Sequence[Radiograph]) -> list[float]:
        calls.append(len(radiographs))
        return mean_grey(radiographs)

    cases = make_golden(score)
    check_golden(cases, score)
    assert calls == [len(cases)] * 2


def shifted(by: float) -> tuple[list[GoldenCase], "list[float]"]:
    cases = make_golden(mean_grey)
    return cases, [case.score + by for case in cases]


@pytest.mark.parametrize("by", [0.9 * TOLERANCE, -0.9 * TOLERANCE])
def test_rounding_is_forgiven(by: float) -> None:
    cases, scores = shifted(by)
    check_golden(cases, lambda _: scores)


@pytest.mark.parametrize("by", [1.1 * TOLERANCE, -1.1 * TOLERANCE, math.nan, math.inf])
def test_more_is_not(by: float) -> None:
    cases, scores = shifted(0.0)
    scores[1] += by
    with pytest.raises(GoldenCheckFailed, match="golden image 1 scores"):
        check_golden(cases, lambda _: scores)


def test_the_tolerance_grows_with_large_scores_only() -> None:
    [case, *_] = make_golden(mean_grey)
    large = case.model_copy(update={"score": -1000.0})
    check_golden([large], lambda _: [-1000.9])
    with pytest.raises(GoldenCheckFailed):
        check_golden([large], lambda _: [-1001.1])


def test_too_few_scores_do_not_pass() -> None:
    cases = make_golden(mean_grey)
    with pytest.raises(ValueError, match="zip"):
        check_golden(cases, lambda _: [cases[0].score])
