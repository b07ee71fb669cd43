"""The memory of images under way is bounded before they are decoded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.errors import QueueFull
from service.scoring.memory import DecodingMemory
from tests.service import pictures
from tests.service.serving import (
    PATIENCE_S,
    HeldDetector,
    check_problem,
    make_settings,
    running,
)
from wscxr.errors import TooManyPixels


def test_the_sum_is_bounded_and_given_back() -> None:
    memory = DecodingMemory(100)
    with memory.share() as first, memory.share() as second:
        first.start(70)
        with pytest.raises(QueueFull):
            second.start(31)
        second.end(0)
        first.end(10)
        second.start(90)
        assert memory.held == 100
    assert memory.held == 90  # its decoder is still at work
    second.end(50)
    assert memory.held == 0


def test_what_never_fits_is_refused_for_good() -> None:
    memory = DecodingMemory(100)
    with memory.share() as share, pytest.raises(TooManyPixels, match="needs 101 bytes"):
        share.start(101)
    assert memory.held == 0


def test_the_service_refuses_before_decoding(store: Path) -> None:
    # 80 x 64 pixels of grey need 3 bytes each to be decoded; one is kept while a map may be drawn.
    with running(make_settings(store, max_decoding_bytes=18_000)) as server:
        detector = HeldDetector(server.batcher())
        predict = f"{server.url}/v1/predict/map"
        send = {"file": pictures.png()}
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(httpx.post, predict, files=send, timeout=PATIENCE_S)
            assert detector.entered.wait(PATIENCE_S)
            big = {"file": pictures.png(width=80, height=72)}
            check_problem(httpx.post(predict, files=big), 503, "queue_full")
            detector.go.set()
            assert first.result().status_code == 200
        assert httpx.post(predict, files=big).status_code == 200
        huge = {"file": pictures.png(width=100, height=100)}
        check_problem(httpx.post(predict, files=huge), 413, "too_many_pixels")
