"""Scoring for the bridge to a PACS with a model in this process, in place of one over HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from service.errors import NotReady, TryLater
from service.http.problems import to_problem
from service.pacs.errors import AnalyserFault, AnalyserUnavailable, Refused
from service.prometheus import Metrics
from service.records import open_recorder
from service.records.record import Origin, Source
from service.scoring.analysis import render_dicom
from service.scoring.auto import AutoPipeline
from service.scoring.pipeline import Pipeline
from service.scoring.registry import Registry
from service.settings import Settings
from wscxr.errors import ImageError

logger = logging.getLogger(__name__)

_WATCHER = "watcher"
"""Who asks, where the watcher scores by itself."""


class PipelineAnalyser:
    """Scores with a loaded model. See `service.pacs.bridge.Analyser`.

    Parameters
    ----------
    pipeline
        Of the model.
    settings
        Which DICOM results to make, and how.
    caller
        Who asks, for the record.
    """

    def __init__(self, pipeline: Pipeline | AutoPipeline, settings: Settings, caller: str) -> None:
        self._pipeline = pipeline
        self._render = render_dicom(settings.dicom_results, settings.dicom_capture)
        self._caller = caller

    async def analyse(self, data: bytes) -> list[bytes]:
        """See `service.pacs.bridge.Analyser.analyse`."""
        result_id = uuid4()
        try:
            origin = Origin(result_id, Source.PACS, self._caller)
            _, files = await self._pipeline.analyse(
                data, self._render, origin=origin, result_id=result_id
            )
        except ImageError as error:
            raise Refused(error.code, str(result_id)) from error
        except TryLater as error:
            raise AnalyserUnavailable from error
        except Exception as error:
            # As over HTTP: logged with class and place under the id, and tried again.
            code = to_problem(error, str(result_id)).code
            logger.warning("analysis failed", extra={"request_id": str(result_id), "code": code})
            raise AnalyserFault(str(result_id)) from error
        return files

    async def probe(self) -> None:
        """See `service.pacs.bridge.Analyser.probe`; a loaded model always works."""


@asynccontextmanager
async def loaded_analyser(settings: Settings, model: str | None) -> AsyncIterator[PipelineAnalyser]:
    """Load models as the service does, and score with one of them until the block ends.

    Parameters
    ----------
    model
        Its name; None for the default one, auto for a choice by image.

    Raises
    ------
    ConfigError
        The record cannot be kept.
    SystemExit
        The models cannot be loaded; the log has the reason.
    ModelNotFound, ModelRequired
        See `Registry.get`.
    """
    metrics = Metrics()
    recorder = open_recorder(settings, metrics)
    registry = Registry(settings, metrics, stop=lambda: None, recorder=recorder)
    if recorder is not None:
        recorder.start()
    registry.start()
    try:
        await registry.loaded()
        try:
            pipeline = registry.pipeline(model)
        except NotReady:
            raise SystemExit(1) from None
        yield PipelineAnalyser(pipeline, settings, _WATCHER)
    finally:
        await registry.close()
        if recorder is not None:
            await asyncio.to_thread(recorder.close)
