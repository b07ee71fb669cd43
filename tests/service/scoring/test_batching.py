import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InferenceFailed, QueueFull, ShuttingDown
from service.prometheus import Metrics
from service.scoring.batching import Batcher, Scored
from tests.service.serving import PATIENCE_S
from wscxr.anatomy import Frame, ModelInput
from wscxr.bundle.identity import ModelIdentity
from wscxr.model.calibration import Decision
from wscxr.prediction import Prediction
from wscxr.results.png import ColourScale

BROKEN = -1.0
FOREVER_S = 3600.0


def image(value: float) -> ModelInput:
    return ModelInput(torch.full((3, 2, 2), value), Frame(0, 0, 2, 2, 2, 2), None)


class FakeDetector:
    """Scores an image with its own first value; waits to be let go; breaks on `BROKEN`."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[float]] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, images: list[ModelInput]) -> Sequence[Prediction]:
        values = [float(one.tensor[0, 0, 0]) for one in images]
        self.batches.append(values)
        self.entered.set()
        assert self.go.wait(PATIENCE_S)
        if BROKEN in values:
            raise ValueError("patient Jane Doe")
        zeros = np.zeros((2, 2), dtype=np.float32)
        return [
            Prediction(
                model=ModelIdentity(name="tiny", version="1", sha256=""),
                score=value,
                p_value=0.5,
                threshold=0.0,
                decision=Decision.NORMAL,
                ood_score=0.5,
                anomaly_map=zeros,
                colour_scale=ColourScale(low=0.0, high=1.0),
            )
            for value in values
        ]


def run(
    detector: FakeDetector,
    test: Callable[[Batcher], Coroutine[Any, Any, None]],
    *,
    max_batch: int = 4,
    max_wait_s: float = FOREVER_S,
    capacity: int = 8,
) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                "tiny",
                detector,
                executor,
                Metrics(),
                max_batch=max_batch,
                max_wait_s=max_wait_s,
                capacity=capacity,
            )
            async with asyncio.timeout(PATIENCE_S):
                try:
                    await test(batcher)
                finally:
                    detector.go.set()
                    await batcher.close(PATIENCE_S)

    asyncio.run(main())


async def score(batcher: Batcher, value: float) -> Scored:
    with batcher.admit(1) as [ticket]:
        return await batcher.score(ticket, image(value))


async def entered(detector: FakeDetector) -> None:
    assert await asyncio.to_thread(detector.entered.wait, PATIENCE_S)


async def queued(batcher: Batcher, count: int) -> None:
    while batcher.depth < count:  # noqa: ASYNC110 - a queue announces nothing
        await asyncio.sleep(0)


async def spread(
    batcher: Batcher, detector: FakeDetector, values: list[float]
) -> list["asyncio.Task[Scored]"]:
    """Have the detector busy with a first image (0) while the others queue up."""
    tasks = [asyncio.create_task(score(batcher, 0))]
    await entered(detector)
    tasks += [asyncio.create_task(score(batcher, value)) for value in values]
    await queued(batcher, len(values))
    return tasks


def test_a_lone_image_never_waits() -> None:
    detector = FakeDetector()

    async def test(batcher: Batcher) -> None:
        scored = await score(batcher, 3)
        assert scored.prediction.score == 3
        assert scored.queue_s >= 0
        assert scored.inference_s > 0

    run(detector, test)
    assert detector.batches == [[3]]


def test_images_that_wait_are_computed_together_in_order() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1, 2, 3, 4, 5])
        detector.go.set()
        assert [s.prediction.score for s in await asyncio.gather(*tasks)] == [0, 1, 2, 3, 4, 5]

    run(detector, test)
    assert detector.batches == [[0], [1, 2, 3, 4], [5]]


def test_a_batch_waits_for_an_image_on_its_way() -> None:
    detector = FakeDetector()

    async def test(batcher: Batcher) -> None:
        with batcher.admit(2) as [first, second]:
            early = asyncio.create_task(batcher.score(first, image(1)))
            await queued(batcher, 1)
            late = asyncio.create_task(batcher.score(second, image(2)))
            await asyncio.gather(early, late)

    run(detector, test)
    assert detector.batches == [[1, 2]]


def test_a_batch_does_not_wait_for_an_image_that_was_given_up() -> None:
    detector = FakeDetector()

    async def test(batcher: Batcher) -> None:
        with batcher.admit(2) as [first, second]:
            early = asyncio.create_task(batcher.score(first, image(1)))
            await queued(batcher, 1)
            batcher.settle(second)
            await early

    run(detector, test)
    assert detector.batches == [[1]]


def test_a_batch_waits_only_so_long() -> None:
    detector = FakeDetector()

    async def test(batcher: Batcher) -> None:
        with batcher.admit(2) as [first, _]:
            await batcher.score(first, image(1))

    run(detector, test, max_wait_s=0.001)
    assert detector.batches == [[1]]


def test_the_queue_is_bounded_and_places_come_back() -> None:
    async def test(batcher: Batcher) -> None:
        with batcher.admit(8), pytest.raises(QueueFull), batcher.admit(1):
            pass
        with pytest.raises(QueueFull), batcher.admit(9):
            pass
        with batcher.admit(8):
            pass

    run(FakeDetector(), test)


def test_what_nobody_waits_for_is_not_computed() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1, 2])
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        detector.go.set()
        await asyncio.gather(tasks[0], tasks[2])

    run(detector, test)
    assert detector.batches == [[0], [2]]


def test_a_result_for_a_cancelled_request_is_dropped() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        [task] = await spread(batcher, detector, [])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        detector.go.set()
        assert (await score(batcher, 1)).prediction.score == 1

    run(detector, test)


def test_a_queue_of_cancelled_images_is_skipped() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1])
        tasks[1].cancel()
        detector.go.set()
        await tasks[0]
        assert (await score(batcher, 2)).prediction.score == 2

    run(detector, test)
    assert detector.batches == [[0], [2]]


def test_a_broken_image_does_not_spoil_its_batch() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1, BROKEN, 2])
        detector.go.set()
        first, one, broken, two = await asyncio.gather(*tasks, return_exceptions=True)
        for value, scored in ((0, first), (1, one), (2, two)):
            assert isinstance(scored, Scored)
            assert scored.prediction.score == value
        assert isinstance(broken, InferenceFailed)
        assert "Jane" not in str(broken)
        assert isinstance(broken.__cause__, ValueError)

    run(detector, test)
    assert detector.batches == [[0], [1, BROKEN, 2], [1], [BROKEN], [2]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_a_failure(value: float) -> None:
    async def test(batcher: Batcher) -> None:
        with pytest.raises(InferenceFailed):
            await score(batcher, value)

    run(FakeDetector(), test)


def test_close_finishes_what_is_under_way_and_refuses_the_rest() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1, 2])
        closing = asyncio.create_task(batcher.close(PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(ShuttingDown), batcher.admit(1):
            pass
        detector.go.set()
        await closing
        assert [s.prediction.score for s in await asyncio.gather(*tasks)] == [0, 1, 2]

    run(detector, test)


def test_close_gives_up_after_its_bound() -> None:
    detector = FakeDetector(held=True)

    async def test(batcher: Batcher) -> None:
        tasks = await spread(batcher, detector, [1])
        await batcher.close(0.001)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ShuttingDown, ShuttingDown]

    run(detector, test)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([BROKEN, 1.0, 2.0, 3.0]), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_every_image_gets_its_own_score(values: list[float], max_batch: int) -> None:
    detector = FakeDetector()

    async def test(batcher: Batcher) -> None:
        tasks = [score(batcher, value) for value in values]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for value, outcome in zip(values, outcomes, strict=True):
            if value == BROKEN:
                assert isinstance(outcome, InferenceFailed)
            else:
                assert isinstance(outcome, Scored)
                assert outcome.prediction.score == value

    run(detector, test, max_batch=max_batch, capacity=12)
    assert all(len(batch) <= max_batch for batch in detector.batches)
