"""Which versions of a model its model store holds, by their manifests alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.manifest import BundleManifest
from wscxr.bundle.promotion import versions_of
from wscxr.bundle.signing import TrustedKeys
from wscxr.bundle.store import read_manifest
from wscxr.errors import BundleError, WscxrError


@dataclass(frozen=True)
class StoredVersion:
    """One version of a model in the model store; it holds either a manifest or an error.

    Attributes
    ----------
    version
        Name of its folder.
    manifest
        What its bundle.json says; its other files are not read.
    error
        Why it cannot be taken into use, as far as bundle.json and its signature show that.
    """

    version: str
    manifest: BundleManifest | None = None
    error: WscxrError | None = None


def stored_versions(model: Path, trusted_keys: Sequence[Path]) -> list[StoredVersion]:
    """List the versions of a model, latest first.

    Parameters
    ----------
    model
        Its folder, ``model_store/<name>``.
    trusted_keys
        Files of the public keys that must have signed a bundle; none, where any is taken.
    """
    return [_stored(model / name, trusted_keys) for name in _latest_first(versions_of(model))]


def _stored(path: Path, trusted_keys: Sequence[Path]) -> StoredVersion:
    try:
        manifest = read_manifest(path)
        if trusted_keys:
            identity = ModelIdentity.at(path, manifest.sha256)
            TrustedKeys.read(trusted_keys).check(path, identity)
    except WscxrError as error:
        return StoredVersion(path.name, error=error)
    except OSError:
        return StoredVersion(path.name, error=BundleError())
    return StoredVersion(path.name, manifest)


def _latest_first(names: Sequence[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (Version(name), name), reverse=True)
    except InvalidVersion:
        return sorted(names, reverse=True)
