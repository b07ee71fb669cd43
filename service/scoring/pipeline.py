"""One image's way: admission, decoding, queue, inference, rendering, off the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

from service.errors import ClientGone, DeadlineExceeded, InternalError
from service.prometheus import Metrics
from service.records.record import Origin
from service.scoring.analysis import (
    Analysis,
    AnalysisResult,
    ImageInfo,
    Render,
    TimingsMs,
    render_nothing,
)
from service.scoring.batching import Batcher, Ticket
from service.scoring.memory import DecodingMemory, Share
from service.scoring.workers import Workers
from service.settings import Settings
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.errors import WscxrError
from wscxr.imaging import Assumed, Radiograph, read_radiograph

if TYPE_CHECKING:
    from service.records.recorder import Noted, Recorder

T = TypeVar("T")


class Pipeline:
    """Takes images through one model; made in a running event loop.

    Parameters
    ----------
    workers
        Threads that decode and render.
    inference
        The single thread that computes batches.
    memory
        What images under way may take together.
    recorder
        Records every answer; None to record nothing.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        metrics: Metrics,
        *,
        workers: Workers,
        inference: Executor,
        memory: DecodingMemory,
        recorder: "Recorder | None",
    ) -> None:
        self.bundle = bundle
        self._recorder = recorder
        self._name = bundle.identity.name
        self._metrics = metrics
        self._workers = workers
        self._memory = memory
        self._limits = settings.image_limits
        self._rules = settings.dicom
        self._timeout_s = settings.request_timeout_s
        self.batcher = Batcher(
            self._name,
            bundle.predict_inputs,
            inference,
            metrics,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1000,
            capacity=settings.queue_size,
        )
        metrics.watch_model(bundle.identity)

    async def analyse(
        self,
        data: bytes,
        render: Render[T],
        assume: Assumed | None = None,
        *,
        origin: Origin | None,
        result_id: UUID | None = None,
    ) -> Analysis[T]:
        """Score one file, if there is a place for it.

        Parameters
        ----------
        data
            The whole file.
        render
            What to make of the prediction; `render_nothing` for the scores alone.
        assume
            What the caller knows better than a DICOM header.
        origin
            Who asks, for the record; None for an analysis that is no answer, and is not recorded.
        result_id
            Id of the result; a new one where it is not given.

        Raises
        ------
        QueueFull, ShuttingDown
            There is no place.
        ImageError
            The image cannot be used.
        DeadlineExceeded
            It took too long.
        InferenceFailed
            The detector failed on this image.
        """
        with self.batcher.admit(1) as [ticket]:
            return await self._analyse(ticket, data, render, assume, origin, result_id or uuid4())

    async def analyse_many(
        self,
        files: Sequence[bytes],
        render: Render[T],
        assume: Assumed | None = None,
        *,
        origin: Origin | None,
    ) -> list[Analysis[T] | BaseException]:
        """Score several files, if there are places for all of them.

        Returns
        -------
        list
            For each file, in order, its analysis or the error that `analyse` would raise.

        Raises
        ------
        QueueFull, ShuttingDown
            There are not that many places.
        """
        with self.batcher.admit(len(files)) as tickets:
            work = [
                self._analyse(ticket, data, render, assume, origin, uuid4())
                for ticket, data in zip(tickets, files, strict=True)
            ]
            return await asyncio.gather(*work, return_exceptions=True)

    async def read(
        self,
        data: bytes,
        render: Callable[[Radiograph, ModelInput], T],
        assume: Assumed | None = None,
    ) -> T:
        """Decode one file and make something of it, without scoring it.

        Parameters
        ----------
        data
            The whole file.
        render
            Called in a worker thread.
        assume
            What the caller knows better than a DICOM header.

        Raises
        ------
        QueueFull, ShuttingDown, ImageError, DeadlineExceeded
            See `analyse`.
        """

        def work(share: Share) -> T:
            return render(*self._decode(data, assume, share))

        with self.batcher.admit(1) as [ticket]:
            self.batcher.settle(ticket)  # no batch waits for it
            try:
                async with asyncio.timeout(self._timeout_s):
                    with self._memory.share() as share:
                        return await self._workers.run(lambda: work(share))
            except TimeoutError:
                raise DeadlineExceeded from None

    async def _analyse(
        self,
        ticket: Ticket,
        data: bytes,
        render: Render[T],
        assume: Assumed | None,
        origin: Origin | None,
        result_id: UUID,
    ) -> Analysis[T]:
        async with self._counted(ticket) as share:
            started = time.perf_counter()
            radiograph, model_input, noted = await self._workers.run(
                lambda: self._decode_and_note(data, assume, share)
            )
            decode_s = time.perf_counter() - started
            self._metrics.decode.labels(self._name).observe(decode_s)
            image, warnings = ImageInfo.model_validate(radiograph), radiograph.warnings
            # Full-size pixels that nobody needs again do not wait in the queue.
            kept = None if render is render_nothing else radiograph
            del radiograph
            if kept is None:
                share.end(0)
            scored = await self.batcher.score(ticket, model_input)
            said = scored.prediction
            prediction = replace(said, radiograph=kept, warnings=(*said.warnings, *warnings))
            rendering = time.perf_counter()
            if kept is None:
                rendered, encode_s = render(prediction), 0.0
            else:
                rendered = await self._workers.run(lambda: render(prediction))
                encode_s = time.perf_counter() - rendering
                self._metrics.encode.labels(self._name).observe(encode_s)
            if origin is not None:
                self._metrics.observe(prediction, self.bundle.manifest.calibration)
            timings = TimingsMs(
                decode=_ms(decode_s),
                queue=_ms(scored.queue_s),
                inference=_ms(scored.inference_s),
                encode=_ms(encode_s),
                total=_ms(time.perf_counter() - started),
            )
            result = AnalysisResult.of(result_id, prediction, image, timings)
            if self._recorder is not None and noted is not None and origin is not None:
                self._recorder.add(result, noted, origin, prediction)
            return Analysis(result, rendered)

    @asynccontextmanager
    async def _counted(self, ticket: Ticket) -> AsyncIterator[Share]:
        """Limit time and memory of one analysis, and count how it ended."""
        ended = InternalError.code
        try:
            async with asyncio.timeout(self._timeout_s):
                with self._memory.share() as share:
                    yield share
            ended = "ok"
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
            self._metrics.images.labels(self._name, ended).inc()

    def _decode_and_note(
        self, data: bytes, assume: Assumed | None, share: Share
    ) -> tuple[Radiograph, ModelInput, "Noted | None"]:
        radiograph, prepared = self._decode(data, assume, share)
        noted = None
        if self._recorder is not None:
            noted = self._recorder.note(data, radiograph, prepared, self.bundle)
        return radiograph, prepared, noted

    def _decode(
        self, data: bytes, assume: Assumed | None, share: Share
    ) -> tuple[Radiograph, ModelInput]:
        rules = self._rules.model_copy(update={"assume": assume or Assumed()})
        kept = 0
        try:
            radiograph = read_radiograph(
                data, self._limits, rules, share.start, side=self.bundle.view_side
            )
            kept = radiograph.full_bytes
            return radiograph, self.bundle.prepare(radiograph)
        finally:
            share.end(kept)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
