"""Which bundles are served: found on disk once at start-up, then looked up by name."""

import logging
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from service.errors import ModelNotFound, ModelRequired
from service.settings import NAME_PATTERN, Settings
from wscxr.bundle.bundle import Bundle
from wscxr.device import resolve_device
from wscxr.errors import BundleError, BundleNotFound

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleLocation:
    """A bundle in the model store, not loaded yet.

    Attributes
    ----------
    name, version
        Its two folder names.
    path
        Its folder.
    """

    name: str
    version: str
    path: Path


class Registry:
    """The loaded bundles, by name.

    Parameters
    ----------
    bundles
        At least one; one version of each name.
    """

    def __init__(self, bundles: list[Bundle]) -> None:
        self._bundles = {bundle.identity.name: bundle for bundle in bundles}

    @property
    def bundles(self) -> list[Bundle]:
        """All of them, by name."""
        return [self._bundles[name] for name in sorted(self._bundles)]

    @property
    def default(self) -> Bundle | None:
        """The bundle that answers a request which names none; None when there are several."""
        return next(iter(self._bundles.values())) if len(self._bundles) == 1 else None

    def get(self, name: str | None) -> Bundle:
        """Look up a model; request data never becomes part of a path.

        Raises
        ------
        ModelRequired
            No name is given and there are several models.
        ModelNotFound
            There is no model of that name.
        """
        if name is None:
            if self.default is None:
                raise ModelRequired
            return self.default
        try:
            return self._bundles[name]
        except KeyError:
            raise ModelNotFound from None


def find_bundles(store: Path, wanted: str | None) -> list[BundleLocation]:
    """Find what is to be served.

    Parameters
    ----------
    store
        Folder of ``<name>/<version>/bundle.json``; folders with a leading dot are left out.
    wanted
        ``NAME``, ``NAME/VERSION``, or None for the latest version of every name.

    Raises
    ------
    BundleNotFound
        There is none.
    BundleError
        A folder has a name that cannot be served, or the latest version cannot be told.
    """
    versions: dict[str, list[BundleLocation]] = defaultdict(list)
    for manifest in store.glob("*/*/bundle.json"):
        path = manifest.parent
        if not any(part.startswith(".") for part in (path.name, path.parent.name)):
            versions[path.parent.name].append(BundleLocation(path.parent.name, path.name, path))
    if wanted is None:
        if not versions:
            raise BundleNotFound(f"there is no bundle in {store} (no <name>/<version>/bundle.json)")
        return [_latest(versions[name]) for name in sorted(versions)]
    name, _, version = wanted.partition("/")
    found = [b for b in versions.get(name, []) if version in ("", b.version)]
    if not found:
        raise BundleNotFound(f"there is no bundle {wanted} in {store}")
    return [_latest(found)]


def load_models(settings: Settings) -> Registry:
    """Load and verify every bundle that is to be served; takes seconds.

    Raises
    ------
    DeviceUnavailable
        The device is not there.
    BundleError, WeightsUnavailable
        There is no bundle, or one of them cannot be used; see `Bundle.load`.
    """
    device = resolve_device(settings.device)
    bundles = []
    for location in find_bundles(settings.model_store, settings.model):
        started = time.perf_counter()
        bundle = Bundle.load(location.path, device)
        bundles.append(bundle)
        logger.info(
            "model loaded",
            extra={
                "model": bundle.identity.name,
                "version": bundle.identity.version,
                "sha256": bundle.identity.sha256,
                "device": str(device),
                "seconds": round(time.perf_counter() - started, 3),
                "warnings": bundle.manifest.warnings,
            },
        )
    return Registry(bundles)


def _latest(bundles: list[BundleLocation]) -> BundleLocation:
    for bundle in bundles:
        for part in (bundle.name, bundle.version):
            if not re.fullmatch(NAME_PATTERN, part):
                raise BundleError(
                    f"{bundle.path} cannot be served: names and versions may hold letters, "
                    "digits, '.', '_' and '-'"
                )
    if len(bundles) == 1:
        return bundles[0]
    try:
        # The text breaks ties between spellings of one version, such as 1 and 1.0.
        return max(bundles, key=lambda b: (Version(b.version), b.version))
    except InvalidVersion as error:
        raise BundleError(
            f"the latest version of {bundles[0].name} cannot be told: {error}; "
            "choose one with NAME/VERSION"
        ) from None
