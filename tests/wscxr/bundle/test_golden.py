import math
from collections.abc import Sequence

import numpy as np
import pytest

from wscxr.bundle.golden import (
    TOLERANCE,
    TOLERANCE_BFLOAT16,
    GoldenCase,
    GoldenScores,
    check_golden,
    make_golden,
)
from wscxr.choices import EngineName, Precision
from wscxr.engines import EngineIdentity
from wscxr.errors import GoldenCheckFailed
from wscxr.imaging import Radiograph

FLOAT32 = EngineIdentity(name=EngineName.TORCH, precision=Precision.FLOAT32)
BFLOAT16 = EngineIdentity(name=EngineName.OPENVINO, precision=Precision.BFLOAT16)


def grey(radiographs: Sequence[Radiograph]) -> list[GoldenScores]:
    """Mean and spread of the grey values, as if they were scores."""
    return [
        GoldenScores(float(r.pixels.mean()) / 255, float(r.pixels.std()) / 255) for r in radiographs
    ]


def recorded(cases: Sequence[GoldenCase]) -> list[GoldenScores]:
    return [GoldenScores(case.score, case.ood_score) for case in cases]


def test_making_records_the_scores_of_the_very_images() -> None:
    cases = make_golden(grey, FLOAT32)
    assert len(cases) >= 2
    assert recorded(cases) == grey([case.radiograph() for case in cases])
    check_golden(cases, grey, FLOAT32)


def test_images_are_the_same_every_time_and_differ_from_each_other() -> None:
    first, again = make_golden(grey, FLOAT32), make_golden(grey, FLOAT32)
    assert first == again
    assert len({case.png for case in first}) == len(first)


def test_images_have_structure() -> None:
    for case in make_golden(grey, FLOAT32):
        pixels = case.radiograph().pixels
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert np.abs(np.diff(pixels.astype(int), axis=1)).mean() > 1


def test_all_images_are_scored_in_one_batch() -> None:
    calls: list[int] = []

    def score(radiographs: Sequence[Radiograph]) -> list[GoldenScores]:
        calls.append(len(radiographs))
        return grey(radiographs)

    cases = make_golden(score, FLOAT32)
    check_golden(cases, score, FLOAT32)
    assert calls == [len(cases)] * 2


def shifted(field: str, by: float) -> tuple[list[GoldenCase], list[GoldenScores]]:
    """Golden cases, and scores of which the second's differ in one of the two."""
    cases = make_golden(grey, FLOAT32)
    scores = recorded(cases)
    scores[1] = scores[1]._replace(**{field: getattr(scores[1], field) + by})
    return cases, scores


@pytest.mark.parametrize("field", ["score", "ood_score"])
@pytest.mark.parametrize("by", [0.9 * TOLERANCE, -0.9 * TOLERANCE])
def test_rounding_is_forgiven(field: str, by: float) -> None:
    cases, scores = shifted(field, by)
    check_golden(cases, lambda _: scores, FLOAT32)


@pytest.mark.parametrize(("field", "said"), [("score", "scores"), ("ood_score", "has OOD score")])
@pytest.mark.parametrize("by", [1.1 * TOLERANCE, -1.1 * TOLERANCE, math.nan, math.inf])
def test_more_is_not(field: str, said: str, by: float) -> None:
    cases, scores = shifted(field, by)
    with pytest.raises(GoldenCheckFailed, match=f"golden image 1 {said} "):
        check_golden(cases, lambda _: scores, FLOAT32)


def test_the_tolerance_grows_with_large_scores_only() -> None:
    [case, *_] = make_golden(grey, FLOAT32)
    large = case.model_copy(update={"score": -1000.0})
    check_golden([large], lambda _: [GoldenScores(-1000.9, case.ood_score)], FLOAT32)
    with pytest.raises(GoldenCheckFailed):
        check_golden([large], lambda _: [GoldenScores(-1001.1, case.ood_score)], FLOAT32)


def test_too_few_scores_do_not_pass() -> None:
    cases = make_golden(grey, FLOAT32)
    with pytest.raises(ValueError, match="zip"):
        check_golden(cases, lambda _: recorded(cases[:1]), FLOAT32)


@pytest.mark.parametrize(("written", "loaded"), [(FLOAT32, BFLOAT16), (BFLOAT16, FLOAT32)])
def test_bfloat16_on_either_side_is_forgiven_more(
    written: EngineIdentity, loaded: EngineIdentity
) -> None:
    cases = make_golden(grey, written)
    assert {case.engine for case in cases} == {written}
    near, far = (
        [GoldenScores(case.score + by, case.ood_score) for case in cases]
        for by in (0.9 * TOLERANCE_BFLOAT16, 1.1 * TOLERANCE_BFLOAT16)
    )
    check_golden(cases, lambda _: near, loaded)
    with pytest.raises(GoldenCheckFailed):
        check_golden(cases, lambda _: far, loaded)


def test_cases_of_older_bundles_are_of_pytorch_in_float32() -> None:
    [case, *_] = make_golden(grey, BFLOAT16)
    older = case.model_dump(mode="json")
    del older["engine"]
    assert GoldenCase.model_validate(older).engine == FLOAT32
