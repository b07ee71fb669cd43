"""One image's way: decode, queue, inference, encode, each where it blocks nobody."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from service.batching import Batcher, Ticket
from service.errors import ClientGone, DeadlineExceeded, InternalError
from service.metrics import Metrics
from service.registry import Model
from wscxr.bundle import Prediction
from wscxr.errors import WscxrError
from wscxr.heatmap import MapStyle, map_png
from wscxr.imaging import ImageLimits, Radiograph, read_radiograph

T = TypeVar("T")


@dataclass(frozen=True)
class Timings:
    """Milliseconds spent in each stage, and from the end of the upload to the result."""

    decode: float
    queue: float
    inference: float
    encode: float
    total: float


@dataclass(frozen=True)
class ImageFacts:
    """What is told of the image: width and height in pixels, container, bits per pixel."""

    width: int
    height: int
    format: str
    bits: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """All there is to say of one image.

    Attributes
    ----------
    image
        The image as read.
    prediction
        Score, p-value, decision and anomaly map.
    png
        The map as PNG, when one was asked for.
    timings
        Where the time went.
    """

    image: ImageFacts
    prediction: Prediction
    png: bytes | None
    timings: Timings


class Pipeline:
    """The way of an image through one model.

    Parameters
    ----------
    model
        The model that scores.
    batcher
        Its batcher.
    images
        Threads that decode and draw.
    metrics
        Where stage times go.
    limits
        Bounds on one image file.
    timeout_s
        Deadline of one image, in seconds.
    """

    def __init__(
        self,
        model: Model,
        batcher: Batcher,
        images: Executor,
        metrics: Metrics,
        *,
        limits: ImageLimits,
        timeout_s: float,
    ) -> None:
        self.model = model
        self.batcher = batcher
        self._images = images
        self._metrics = metrics
        self._limits = limits
        self._timeout_s = timeout_s

    async def run(self, ticket: Ticket, data: bytes, style: MapStyle | None) -> Outcome:
        """Score one file.

        Parameters
        ----------
        ticket
            From the batcher.
        data
            The whole file.
        style
            How the map is drawn; None for no map.

        Raises
        ------
        ImageError
            The image cannot be used.
        DeadlineExceeded
            It took too long.
        InferenceFailed, ShuttingDown
            See `Batcher.score`.
        """
        ended = InternalError.code
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await self._run(ticket, data, style)
            ended = "ok"
            return outcome
        except TimeoutError:
            ended = DeadlineExceeded.code
            raise DeadlineExceeded from None
        except WscxrError as error:
            ended = error.code
            raise
        except asyncio.CancelledError:
            ended = ClientGone.code
            raise
        finally:
            self.batcher.settle(ticket)
            self._metrics.images.labels(self.model.name, ended).inc()

    async def _run(self, ticket: Ticket, data: bytes, style: MapStyle | None) -> Outcome:
        name = self.model.name
        started = time.perf_counter()
        radiograph, image = await self._in_thread(lambda: self._decode(data))
        decoded = time.perf_counter()
        self._metrics.decode.labels(name).observe(decoded - started)
        facts = ImageFacts(radiograph.width, radiograph.height, radiograph.format, radiograph.bits)
        if style is None:
            del radiograph  # full-size pixels need not wait in the queue with it
            scored = await self.batcher.score(ticket, image)
            png, encode_s = None, 0.0
        else:
            scored = await self.batcher.score(ticket, image)
            drawing = time.perf_counter()
            anomaly_map = scored.prediction.anomaly_map
            scale = self.model.bundle.manifest.colour_scale
            png = await self._in_thread(lambda: map_png(radiograph, anomaly_map, style, scale))
            encode_s = time.perf_counter() - drawing
            self._metrics.encode.labels(name).observe(encode_s)
        total = time.perf_counter() - started
        seconds = (decoded - started, scored.queue_s, scored.inference_s, encode_s, total)
        timings = Timings(*(round(1000 * value, 3) for value in seconds))
        return Outcome(facts, scored.prediction, png, timings)

    def _decode(self, data: bytes) -> tuple[Radiograph, Tensor]:
        radiograph = read_radiograph(data, self._limits)
        return radiograph, self.model.bundle.prepare(radiograph)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._images, work)
