"""A bundle on disk: written whole or not at all, every hash verified whenever it is read."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from wscxr.bundle import schema
from wscxr.bundle.manifest import BundleManifest, FileName
from wscxr.errors import BundleDamaged, BundleError, BundleExists, BundleNotFound
from wscxr.files import default_mode

_MANIFEST = "bundle.json"


def check_absent(path: Path) -> None:
    """Make sure that a bundle can be written at a place.

    Raises
    ------
    BundleExists
        Something is there already.
    """
    if path.exists():
        raise BundleExists(f"{path} exists; bundles are never overwritten: give another version")


def read_manifest(path: Path) -> BundleManifest:
    """Read and verify bundle.json alone; one of an older schema is upgraded in memory.

    Raises
    ------
    BundleNotFound
        There is no bundle.json.
    UnknownSchema
        A later version of this program wrote it.
    BundleDamaged
        It differs from its own hash, or is no manifest.
    """
    try:
        document = json.loads((path / _MANIFEST).read_bytes())
        version, recorded = document["schema_version"], document.get("sha256")
    except (FileNotFoundError, NotADirectoryError):
        raise BundleNotFound(f"there is no bundle at {path} (no {_MANIFEST})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleDamaged(f"{path / _MANIFEST} is not a bundle manifest") from error
    schema.check_version(version, path)
    try:
        manifest = BundleManifest.model_validate(schema.upgrade(document))
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise BundleDamaged(f"{path / _MANIFEST} is damaged: {error}") from error
    if recorded != schema.digest(document):
        raise BundleDamaged(f"{path / _MANIFEST} was changed: its own hash is wrong")
    return manifest


def read_manifests(store: Path) -> dict[str, BundleManifest]:
    """Manifests of a model store's bundles, by their sha256, but for damaged ones."""
    found = {}
    for file in sorted(store.glob(f"*/*/{_MANIFEST}")):
        with contextlib.suppress(BundleError, OSError):
            manifest = read_manifest(file.parent)
            found[manifest.sha256] = manifest
    return found


def read_files(path: Path, manifest: BundleManifest) -> dict[FileName, bytes]:
    """Read every file that a manifest lists.

    Raises
    ------
    BundleDamaged
        A file is missing or differs from its hash.
    """
    return {name: _read_verified(path, name, sha) for name, sha in manifest.files.items()}


def write_files(
    path: Path, manifest: BundleManifest, content: Mapping[FileName, bytes]
) -> BundleManifest:
    """Write a bundle in one step: to a temporary folder beside `path`, synced, then renamed.

    Parameters
    ----------
    path
        Its folder, ``model_store/<name>/<version>``; must not exist.
    manifest
        Its ``files`` and ``sha256`` are filled in here.
    content
        Every file but bundle.json.

    Returns
    -------
    BundleManifest
        The manifest as written.

    Raises
    ------
    BundleExists
        Something is at `path` already.
    """
    check_absent(path)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    manifest = manifest.model_copy(update={"files": hashes}).sealed()
    document = manifest.model_dump_json(indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps it out of a model store that is being read.
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        # mkdtemp allows the owner alone; a service runs as somebody else.
        temporary.chmod(default_mode(0o777))
        for name, data in (*content.items(), (_MANIFEST, document)):
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(temporary)
        try:
            temporary.rename(path)
        except OSError:
            check_absent(path)
            raise
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


def _read_verified(path: Path, name: FileName, sha256: str) -> bytes:
    try:
        data = (path / name).read_bytes()
    except FileNotFoundError:
        raise BundleDamaged(f"the bundle at {path} lacks {name}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleDamaged(f"{name} of the bundle at {path} is damaged: its hash is wrong")
    return data


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
