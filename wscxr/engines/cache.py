"""Compiled networks on disk."""

import hashlib
import logging
from pathlib import Path

from wscxr.files import write_file

logger = logging.getLogger(__name__)


class Cache:
    """A folder of compiled networks, each with the hash of its content.

    Whoever can write there decides what is computed: it must belong to the user who reads it.

    Parameters
    ----------
    folder
        Made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """Read what was written under a key; None where nothing was, or where it is damaged."""
        try:
            digest, _, data = self._file(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest().encode() != digest:
            logger.warning("a compiled network is damaged, and is compiled again")
            return None
        return data

    def write(self, key: str, data: bytes) -> None:
        """Write under a key, in one step."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest().encode()
        write_file(self._file(key), digest + b"\n" + data)

    def _file(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.network"
