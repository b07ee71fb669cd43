"""What lives as long as the process: threads, loaded models, and their start and stop."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.errors import NotReady, ShuttingDown
from service.scoring.batching import Batcher
from service.scoring.map_cache import MapCache
from service.scoring.metrics import Metrics
from service.scoring.pipeline import Pipeline
from service.scoring.registry import Registry, load_models
from service.settings import Settings
from wscxr.bundle.bundle import Bundle
from wscxr.errors import WscxrError

logger = logging.getLogger(__name__)

_LAST_BATCH_S = 5
"""How long the last batch may take when the service stops, in seconds."""


class Runtime:
    """Loads the models in the background and holds what requests need.

    Parameters
    ----------
    settings
        All settings.
    stop
        Called when the models cannot be loaded: makes the process end.
    """

    def __init__(self, settings: Settings, stop: Callable[[], None]) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.maps = MapCache(settings.map_cache_bytes, settings.map_ttl_s)
        self._stop = stop
        self._images = ThreadPoolExecutor(settings.decode_workers, "images")
        # One thread: a second batch at the same time would only make both slower.
        self._inference = ThreadPoolExecutor(1, "inference")
        self._registry: Registry | None = None
        self._pipelines: dict[str, Pipeline] = {}
        self._loading: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def registry(self) -> Registry:
        """The loaded models.

        Raises
        ------
        NotReady
            They are still being loaded.
        ShuttingDown
            The service is stopping.
        """
        if self._closing:
            raise ShuttingDown
        if self._registry is None:
            raise NotReady
        return self._registry

    def pipeline(self, bundle: Bundle) -> Pipeline:
        """The way of an image through one of the loaded bundles."""
        return self._pipelines[bundle.identity.name]

    def start(self) -> None:
        """Start loading; the service answers meanwhile, but is not ready."""
        self._loading = asyncio.create_task(self._load())

    async def close(self) -> None:
        """Refuse new work, finish what is under way within the bound, let the threads go."""
        self._closing = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        # The server has waited for requests by now; all that may be left is a batch in the midst.
        closing = [pipeline.batcher.close(_LAST_BATCH_S) for pipeline in self._pipelines.values()]
        await asyncio.gather(*closing)
        for threads in (self._images, self._inference):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            registry = await loop.run_in_executor(self._inference, load_models, self.settings)
        except (WscxrError, OSError) as error:
            code = error.code if isinstance(error, WscxrError) else "unreadable_bundle"
            logger.critical("start-up refused", extra={"code": code, "reason": str(error)})
            self._stop()
            return
        except Exception:
            # Whatever it was, a process that will never be ready must not stay up.
            logger.critical("start-up failed", exc_info=True)
            self._stop()
            return
        for bundle in registry.bundles:
            self._pipelines[bundle.identity.name] = self._pipeline(bundle)
        self._registry = registry
        logger.info("ready", extra={"models": list(self._pipelines)})

    def _pipeline(self, bundle: Bundle) -> Pipeline:
        settings = self.settings
        batcher = Batcher(
            bundle.identity.name,
            bundle.predict_inputs,
            self._inference,
            self.metrics,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1000,
            capacity=settings.queue_size,
        )
        self.metrics.watch_model(bundle.identity, lambda: batcher.depth)
        return Pipeline(
            bundle,
            batcher,
            self._images,
            self.metrics,
            limits=settings.image_limits,
            rules=settings.dicom,
            timeout_s=settings.request_timeout_s,
        )
