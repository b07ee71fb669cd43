"""Mutated files and requests at every door; `python -m benchmarks.fuzz` makes many more."""

import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.doors import DOORS, FAILED, Attempt, LoggedErrors, opened
from benchmarks.fuzz.mutations import mutate, mutate_json, repair_png
from tests.service import pictures


@pytest.fixture(scope="module", params=DOORS)
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attempt]:
    with opened(request.param, tmp_path_factory.mktemp("scratch")) as attempt:
        yield attempt


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.filterwarnings(
    "ignore::UserWarning:PIL",
    # What was read of a body that turns out to be damaged is left to the garbage collector.
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_each_ends_in_a_result_or_a_coded_refusal(door: Attempt, seed: int) -> None:
    logged = LoggedErrors()
    logging.getLogger().addHandler(logged)
    try:
        outcome = door(np.random.default_rng(seed))
    finally:
        logging.getLogger().removeHandler(logged)
    assert not outcome.startswith(FAILED)
    assert not logged.found


def test_mutations_change_something() -> None:
    png, document = pictures.png(), json.dumps({"a": 1, "b": {"c": [1, 2]}}).encode()
    rng = np.random.default_rng(0)
    assert sum(mutate(png, rng) != png for _ in range(50)) > 45
    assert (
        sum(json.loads(mutate_json(document, rng)) != json.loads(document) for _ in range(50)) > 40
    )
    assert repair_png(png) == png
