"""The served models: found in the model store, loaded in the background, looked up by name."""

import asyncio
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import ModelNotFound, ModelRequired, NotReady, ShuttingDown, WorkersStuck
from service.prometheus import Metrics
from service.scoring.auto import AUTO, AutoPipeline
from service.scoring.memory import DecodingMemory
from service.scoring.pipeline import Pipeline
from service.scoring.workers import Workers
from service.settings import NAME_PATTERN, Settings
from wscxr import shipped
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.promotion import CURRENT, current_version, latest_version
from wscxr.bundle.signing import TrustedKeys
from wscxr.errors import BundleError, BundleNotFound, WscxrError

if TYPE_CHECKING:
    from service.records.recorder import Recorder

logger = logging.getLogger(__name__)

_SHIPPED = shipped.BUNDLE.parent.name

_LAST_BATCH_S = 5
"""How long the last batch may take when the service stops, in seconds."""


class Registry:
    """The served models, and the threads that compute for them.

    Parameters
    ----------
    stop
        Called when the models cannot be loaded: ends the process.
    recorder
        Records every answer; None to record nothing.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        stop: Callable[[], None],
        recorder: "Recorder | None" = None,
    ) -> None:
        self._recorder = recorder
        self._settings = settings
        self._metrics = metrics
        self._stop = stop
        self._workers = Workers(settings.decode_workers, settings.request_timeout_s)
        self._memory = DecodingMemory(settings.max_decoding_bytes)
        # One thread: a second batch at the same time would only make both slower.
        self._inference = ThreadPoolExecutor(1, "inference")
        self._pipelines: dict[str, Pipeline] = {}
        self._loading: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self) -> None:
        """Start loading; the service answers meanwhile, but is not ready."""
        self._loading = asyncio.create_task(self._load())

    async def loaded(self) -> None:
        """Wait until loading has ended, well or not; `check_ready` knows which."""
        if self._loading is not None:
            await self._loading

    async def close(self) -> None:
        """Refuse new work, finish what is under way in a limited time, and end the threads."""
        self._closing = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        # The server has waited for requests by now; only a batch may still be under way.
        closing = [pipeline.batcher.close(_LAST_BATCH_S) for pipeline in self._pipelines.values()]
        for retired in self._retiring:
            retired.cancel()
        await asyncio.gather(*closing, *self._retiring, return_exceptions=True)
        self._workers.shutdown()
        self._inference.shutdown(wait=False, cancel_futures=True)

    @property
    def bundles(self) -> list[Bundle]:
        """The loaded bundles, sorted by name; errors as `check_ready`."""
        self.check_ready()
        return [self._pipelines[name].bundle for name in sorted(self._pipelines)]

    @property
    def default(self) -> Bundle | None:
        """The bundle for requests that name none; None when they must name one.

        It is the one that the settings name, else the only one, else the one that ships: a
        second model beside it changes no answer of the first.
        """
        bundles = self.bundles
        wanted = self._settings.default_model
        if wanted is None:
            wanted = bundles[0].identity.name if len(bundles) == 1 else _SHIPPED
        return self._pipelines[wanted].bundle if wanted in self._pipelines else None

    def check_ready(self) -> None:
        """Make sure that the models can be used.

        Raises
        ------
        NotReady
            They are still being loaded.
        ShuttingDown
            The service is stopping.
        WorkersStuck
            No image can be decoded any more.
        """
        if self._closing:
            raise ShuttingDown
        if not self._pipelines:
            raise NotReady
        if self._workers.stuck:
            raise WorkersStuck

    def get(self, name: str | None) -> Pipeline:
        """Look up the pipeline of a model; errors as `check_ready`, and these.

        Raises
        ------
        ModelRequired
            No name is given, several models are loaded, and none of them is the default.
        ModelNotFound
            No loaded model has that name.
        """
        self.check_ready()
        if name is None:
            if self.default is None:
                raise ModelRequired
            name = self.default.identity.name
        try:
            # Request data never becomes part of a path.
            return self._pipelines[name]
        except KeyError:
            raise ModelNotFound from None

    def pipeline(self, name: str | None) -> Pipeline | AutoPipeline:
        """What takes the images of a request: `get`, and for the name auto a choice by image."""
        if name != AUTO:
            return self.get(name)
        self.check_ready()
        return AutoPipeline(self._pipelines, self._workers, self._settings.image_limits)

    @property
    def names(self) -> list[str]:
        """Names of the loaded models; none before they are loaded."""
        return sorted(self._pipelines)

    async def load(self, path: Path) -> Bundle:
        """Load and verify another bundle; errors as `load_bundles`.

        The inference thread does it, as no network may compute while a backbone is traced.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._inference, load_bundle, path, self._settings)

    def swap(self, bundle: Bundle) -> None:
        """Have a loaded bundle take the place of the one of its name.

        Requests from now on go to the new one. Those that have the old one may still be admitted
        by it, until none can be under way any more.
        """
        name = bundle.identity.name
        old, self._pipelines[name] = self._pipelines[name], self._pipeline(bundle)
        logger.info(
            "version changed",
            extra={
                "model": name,
                "from": old.bundle.identity.version,
                "version": bundle.identity.version,
            },
        )
        retired = asyncio.create_task(self._retire(old))
        self._retiring.add(retired)
        retired.add_done_callback(self._retiring.discard)

    async def _retire(self, pipeline: Pipeline) -> None:
        try:
            await asyncio.sleep(2 * self._settings.request_timeout_s)
        finally:
            await pipeline.batcher.close(_LAST_BATCH_S)

    def _pipeline(self, bundle: Bundle) -> Pipeline:
        return Pipeline(
            bundle,
            self._settings,
            self._metrics,
            workers=self._workers,
            inference=self._inference,
            memory=self._memory,
            recorder=self._recorder,
        )

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            bundles = await loop.run_in_executor(self._inference, load_bundles, self._settings)
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
        self._pipelines = {bundle.identity.name: self._pipeline(bundle) for bundle in bundles}
        logger.info("ready", extra={"models": sorted(self._pipelines)})


def load_bundles(settings: Settings) -> list[Bundle]:
    """Load and verify every bundle to serve; takes seconds.

    Raises
    ------
    DeviceUnavailable
        The device is not there.
    EngineUnavailable
        The engine is not there, or cannot compute in this precision.
    ConfigError
        The trusted keys cannot be read.
    BundleError, WeightsUnavailable
        There is no bundle, or one of them cannot be used; see `Bundle.load`.
    """
    paths = find_bundles(settings.model_store, settings.model)
    if settings.default_model not in (None, *(path.parent.name for path in paths)):
        raise BundleNotFound(f"the default model {settings.default_model} is not among the served")
    if AUTO in (path.parent.name for path in paths):
        raise BundleError(f"no bundle may be called {AUTO}: it stands for a choice by image")
    return [load_bundle(path, settings) for path in paths]


def load_bundle(path: Path, settings: Settings) -> Bundle:
    """Load and verify one bundle as the settings want it; errors as `load_bundles`."""
    trusted = TrustedKeys.read(settings.trusted_keys) if settings.trusted_keys else None
    started = time.perf_counter()
    bundle = Bundle.load(
        path,
        settings.device,
        settings.engine,
        settings.precision,
        cache=settings.engine_cache,
        trusted_keys=trusted,
    )
    logger.info(
        "model loaded",
        extra={
            "model": bundle.identity.name,
            "version": bundle.identity.version,
            "sha256": bundle.identity.sha256,
            "device": str(bundle.detector.device),
            "engine": bundle.engine.name,
            "precision": bundle.engine.precision,
            "seconds": round(time.perf_counter() - started, 3),
            "warnings": bundle.manifest.warnings,
        },
    )
    return bundle


def find_bundles(store: Path, wanted: str | None) -> list[Path]:
    """Find the bundles to serve.

    Parameters
    ----------
    store
        Folder of ``<name>/<version>/bundle.json``; folders with a leading dot are left out.
    wanted
        ``NAME``, ``NAME/VERSION``, or None for every name; without a version, the one that the file
        ``current`` names, else the latest.

    Returns
    -------
    list of Path
        Their folders, sorted by name.

    Raises
    ------
    BundleNotFound
        There is none.
    BundleError
        A folder has a name that cannot be served, or the latest version is unclear.
    """
    versions: dict[str, list[Path]] = defaultdict(list)
    for manifest in store.glob("*/*/bundle.json"):
        path = manifest.parent
        if not any(part.startswith(".") for part in (path.name, path.parent.name)):
            versions[path.parent.name].append(path)
    if wanted is None:
        if not versions:
            raise BundleNotFound(f"there is no bundle in {store} (no <name>/<version>/bundle.json)")
        return [_in_use(store / name, versions[name]) for name in sorted(versions)]
    name, _, version = wanted.partition("/")
    found = [path for path in versions.get(name, []) if version in ("", path.name)]
    if not found:
        raise BundleNotFound(f"there is no bundle {wanted} in {store}")
    return [_latest(found) if version else _in_use(store / name, found)]


def _in_use(model: Path, versions: list[Path]) -> Path:
    """The version that the model store names as the current one, else the latest."""
    current = current_version(model)
    if current is None:
        return _latest(versions)
    found = [path for path in versions if path.name == current]
    if not found:
        raise BundleNotFound(f"{model / CURRENT} names version {current}, which is not there")
    return _latest(found)


def _latest(versions: list[Path]) -> Path:
    for path in versions:
        if not all(re.fullmatch(NAME_PATTERN, part) for part in (path.parent.name, path.name)):
            raise BundleError(
                f"{path} cannot be served: names and versions may hold letters, "
                "digits, '.', '_' and '-'"
            )
    try:
        latest = latest_version(path.name for path in versions)
    except BundleError as error:
        raise BundleError(
            f"{versions[0].parent.name}: {error}; choose one with NAME/VERSION"
        ) from None
    return next(path for path in versions if path.name == latest)
