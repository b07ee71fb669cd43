"""Clients that post radiographs without pause, and remember how each request ended."""

import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np
import tenacity
from PIL import Image

from training.phantoms import make_phantom

_TRANSIENT = {502, 503, 504}


@dataclass(frozen=True)
class Request:
    """How one request ended: its begin and end by the monotonic clock, status and server."""

    begun: float
    ended: float
    outcome: str
    server: str
    retrying: bool


class Load:
    """What the clients saw so far."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def failed(self, *, retrying: bool, since: float = 0.0) -> list[Request]:
        """Requests that got no result, of plain or of retrying clients."""
        return [
            request
            for request in self.requests
            if request.retrying is retrying and request.ended >= since and request.outcome != "200"
        ]

    def summary(self, since: float) -> str:
        """Outcomes and latency of the requests that ended since then."""
        seen = [request for request in self.requests if request.ended >= since]
        took = [request.ended - request.begun for request in seen]
        outcomes = dict(Counter(request.outcome for request in seen))
        return (
            f"{len(seen)} requests {outcomes}, median {np.median(took):.2f} s, "
            f"p99 {np.quantile(took, 0.99):.2f} s, longest {max(took):.2f} s"
        )


@contextmanager
def load(url: str, *, clients: int, retrying: int, per_s: float) -> Iterator[Load]:
    """Post as long as the block lasts; the last requests are waited for.

    Parameters
    ----------
    url
        Of the load balancer.
    clients, retrying
        How many clients take every answer as it is, and how many try again after 502, 503, 504 and
        a broken connection.
    per_s
        Requests a second of all together, at most.
    """
    seen, done = Load(), threading.Event()
    buffer = io.BytesIO()
    Image.fromarray(make_phantom(0, abnormal=True, size=512).pixels).save(buffer, "PNG")
    pause = (clients + retrying) / per_s

    def post(client: httpx.Client) -> httpx.Response:
        return client.post("/v1/predict", files={"file": buffer.getvalue()})

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(httpx.TransportError)
        | tenacity.retry_if_result(lambda answer: answer.status_code in _TRANSIENT),
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random_exponential(0.2, max=2),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )

    def run(retries: bool) -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while not done.is_set():
                begun = time.monotonic()
                server = "none"
                try:
                    answer = again(post, client) if retries else post(client)
                    outcome, server = str(answer.status_code), answer.headers.get("X-Served-By", "")
                except httpx.TransportError as error:
                    outcome = type(error).__name__
                ended = time.monotonic()
                seen.requests.append(Request(begun, ended, outcome, server, retries))
                done.wait(max(0.0, pause - (ended - begun)))

    threads = [threading.Thread(target=run, args=[n >= clients]) for n in range(clients + retrying)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()
