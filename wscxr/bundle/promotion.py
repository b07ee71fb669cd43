"""Which version of a bundle is in use: one line in the file ``current`` of the model store.

``model_store/<name>/current`` names a version. Without that file the latest version is in use. It
is written in one step, so a service that reads it meanwhile sees the old version or the new one.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wscxr.errors import BundleError, BundleNotFound, ConfigError
from wscxr.files import write_file

CURRENT = "current"
"""Name of the file."""

_VERSION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_MAX_BYTES = 200


def current_version(model: Path) -> str | None:
    """The version in use of a model; None where none is named.

    Parameters
    ----------
    model
        Its folder, ``model_store/<name>``.

    Raises
    ------
    BundleError
        The file cannot be read, or holds no version.
    """
    try:
        with (model / CURRENT).open("rb") as file:
            text = file.read(_MAX_BYTES).decode().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{model / CURRENT} cannot be read: {error}") from None
    if not _VERSION.fullmatch(text):
        raise BundleError(f"{model / CURRENT} holds no version")
    return text


def set_current(model: Path, version: str) -> None:
    """Have a version of a model be the one in use; promoting an older one goes back.

    Parameters
    ----------
    model
        Its folder, ``model_store/<name>``.
    version
        The version; its folder is there.

    Raises
    ------
    BundleNotFound
        There is no such version.
    OSError
        The file cannot be written.
    """
    if not _VERSION.fullmatch(version) or not (model / version / "bundle.json").is_file():
        raise BundleNotFound(f"there is no bundle {model.name}/{version}")
    write_file(model / CURRENT, f"{version}\n".encode())


def latest_version(versions: Iterable[str]) -> str:
    """The latest of some versions, at least one.

    Raises
    ------
    BundleError
        There are several, and one is no version number.
    """
    names = list(versions)
    if len(names) == 1:
        return names[0]
    try:
        # The text breaks ties between spellings of one version, such as 1 and 1.0.
        return max(names, key=lambda name: (Version(name), name))
    except InvalidVersion as error:
        raise BundleError(f"the latest version is unclear: {error}") from None


def versions_of(model: Path) -> list[str]:
    """The versions of a model, by its folder ``model_store/<name>``; hidden folders are none."""
    return sorted(
        path.parent.name
        for path in model.glob("*/bundle.json")
        if not path.parent.name.startswith(".")
    )


def next_version(model: Path) -> str:
    """The number after the highest version of a model.

    Raises
    ------
    ConfigError
        A version is no whole number, so nobody can say which comes next.
    """
    names = versions_of(model)
    if not all(name.isdecimal() for name in names):
        raise ConfigError(f"versions of {model.name} are not whole numbers: name the next one")
    return str(max(map(int, names), default=0) + 1)
