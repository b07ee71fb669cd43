"""Another version of a served model, taken into use without a request being refused."""

import asyncio
import logging
from pathlib import Path

from service.errors import ModelPinned, PromotionFailed, VersionNotFound
from service.scoring.registry import Registry
from service.settings import Settings
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.promotion import current_version, set_current
from wscxr.errors import BundleError, BundleNotFound, WscxrError

logger = logging.getLogger(__name__)


class Promoter:
    """Changes the version of a served model: on request, or when ``current`` names another one.

    The new version is loaded, verified and passes its golden check, for which images wait a
    moment; then requests go to the new one, and those under way end with the old one. If anything
    fails, the old one stays.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._one_at_a_time = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._refused: dict[str, str] = {}

    def start(self) -> None:
        """Start to look at the model store, where the settings want that."""
        if self._settings.store_poll_s and not self._pinned:
            self._watching = asyncio.create_task(self._watch(self._settings.store_poll_s))

    async def close(self) -> None:
        """Stop to look at the model store."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def promote(self, name: str, version: str) -> ModelIdentity:
        """Take a version into use, and name it in the model store as the current one.

        Raises
        ------
        ModelNotFound
            No model of that name is served; other errors as `Registry.get`.
        VersionNotFound
            The model store has no such version.
        ModelPinned
            The settings name the version to serve.
        PromotionFailed
            It cannot be used, or the model store cannot be written; the old one stays.
        """
        self._registry.get(name)
        if self._pinned:
            raise ModelPinned
        folder = self._settings.model_store / name
        async with self._one_at_a_time:
            try:
                return await self._swap(folder, version, name_it=True)
            except BundleNotFound:
                raise VersionNotFound from None
            except WscxrError as error:
                self._log(name, error)
                raise PromotionFailed(
                    f"the old version stays; the new one cannot be used ({error.code}): "
                    f"{error.summary}"
                ) from None
            except OSError as error:
                logger.error("promotion failed", extra={"model": name, "reason": error.strerror})
                raise PromotionFailed(
                    "the old version stays; the model store cannot be read or written"
                ) from None

    @property
    def _pinned(self) -> bool:
        return "/" in (self._settings.model or "")

    async def _watch(self, every_s: float) -> None:
        await self._registry.loaded()
        while True:
            await asyncio.sleep(every_s)
            for name in self._registry.names:
                async with self._one_at_a_time:
                    await self._follow(name)

    async def _follow(self, name: str) -> None:
        """Take into use what the model store names, once for each version."""
        folder = self._settings.model_store / name
        try:
            version = await asyncio.to_thread(current_version, folder)
            serving = self._registry.get(name).bundle.identity.version
            if version in (None, serving, self._refused.get(name)):
                return
            self._refused[name] = version
            await self._swap(folder, version, name_it=False)
            del self._refused[name]
        except WscxrError as error:
            self._log(name, error)
        except OSError as error:
            logger.error("promotion failed", extra={"model": name, "reason": error.strerror})

    async def _swap(self, folder: Path, version: str, *, name_it: bool) -> ModelIdentity:
        path = await asyncio.to_thread(_found, folder, version)
        bundle = await self._registry.load(path)
        if name_it:
            await asyncio.to_thread(set_current, folder, version)
        self._registry.swap(bundle)
        return bundle.identity

    def _log(self, name: str, error: WscxrError) -> None:
        if not isinstance(error, BundleError):
            logger.error("promotion failed", extra={"model": name, "code": error.code})
            return
        # Messages about bundles are the operator's own paths and versions.
        extra = {"model": name, "code": error.code, "reason": str(error)}
        logger.error("promotion failed; the old version stays", extra=extra)


def _found(folder: Path, version: str) -> Path:
    # Request data never becomes part of a path: it must be the name of a folder that is there.
    for manifest in folder.glob("*/bundle.json"):
        if manifest.parent.name == version and not version.startswith("."):
            return manifest.parent
    raise BundleNotFound(f"the model store has no version {version} of {folder.name}")
