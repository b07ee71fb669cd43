"""One image's way: decode, queue, inference, encode, each where it blocks nobody."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from service.errors import ClientGone, DeadlineExceeded, InternalError
from service.scoring.batching import Batcher, Ticket
from service.scoring.metrics import Metrics
from wscxr.bundle.bundle import Bundle
from wscxr.errors import WscxrError
from wscxr.imaging import Assumed, DicomRules, ImageLimits, Radiograph, read_radiograph
from wscxr.prediction import Prediction

T = TypeVar("T")

Draw = Callable[[Prediction], bytes]
"""What is made of a scored radiograph: a PNG of its anomaly map, DICOM objects."""


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
        Score, p-value, decision, OOD score and anomaly map.
    warnings
        What must be known to read the score: of the model, and of this image.
    drawn
        What was drawn, when something was asked for.
    timings
        Where the time went.
    """

    image: ImageFacts
    prediction: Prediction
    warnings: list[str]
    drawn: bytes | None
    timings: Timings


class Pipeline:
    """The way of an image through one model.

    Parameters
    ----------
    bundle
        The bundle that scores.
    batcher
        Its batcher.
    images
        Threads that decode and draw.
    metrics
        Where stage times go.
    limits
        Bounds on one image file.
    rules
        Which DICOM objects are scored.
    timeout_s
        Deadline of one image, in seconds.
    """

    def __init__(
        self,
        bundle: Bundle,
        batcher: Batcher,
        images: Executor,
        metrics: Metrics,
        *,
        limits: ImageLimits,
        rules: DicomRules,
        timeout_s: float,
    ) -> None:
        self.bundle = bundle
        self.batcher = batcher
        self._images = images
        self._metrics = metrics
        self._limits = limits
        self._rules = rules
        self._timeout_s = timeout_s

    async def run(self, ticket: Ticket, data: bytes, draw: Draw | None, assume: Assumed) -> Outcome:
        """Score one file.

        Parameters
        ----------
        ticket
            From the batcher.
        data
            The whole file.
        draw
            Draws the map or makes DICOM objects, in a worker thread; None for the score alone.
        assume
            What the caller knows better than a DICOM header.

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
                outcome = await self._run(ticket, data, draw, assume)
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
            self._metrics.images.labels(self.bundle.identity.name, ended).inc()

    async def _run(
        self, ticket: Ticket, data: bytes, draw: Draw | None, assume: Assumed
    ) -> Outcome:
        name = self.bundle.identity.name
        started = time.perf_counter()
        radiograph, image = await self._in_thread(lambda: self._decode(data, assume))
        decoded = time.perf_counter()
        self._metrics.decode.labels(name).observe(decoded - started)
        facts = ImageFacts(radiograph.width, radiograph.height, radiograph.format, radiograph.bits)
        read_warnings = radiograph.warnings
        if draw is None:
            del radiograph  # full-size pixels need not wait in the queue with it
            scored = await self.batcher.score(ticket, image)
            drawn, encode_s = None, 0.0
        else:
            scored = await self.batcher.score(ticket, image)
            drawing = time.perf_counter()
            drawn = await self._in_thread(lambda: draw(scored.prediction.of(radiograph)))
            encode_s = time.perf_counter() - drawing
            self._metrics.encode.labels(name).observe(encode_s)
        prediction = scored.prediction
        if prediction.out_of_distribution:
            self._metrics.out_of_distribution.labels(name).inc()
        warnings = [*prediction.warnings, *read_warnings]
        total = time.perf_counter() - started
        seconds = (decoded - started, scored.queue_s, scored.inference_s, encode_s, total)
        timings = Timings(*(round(1000 * value, 3) for value in seconds))
        return Outcome(facts, prediction, warnings, drawn, timings)

    def _decode(self, data: bytes, assume: Assumed) -> tuple[Radiograph, Tensor]:
        rules = self._rules.model_copy(update={"assume": assume})
        radiograph = read_radiograph(data, self._limits, rules)
        return radiograph, self.bundle.prepare(radiograph)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._images, work)
