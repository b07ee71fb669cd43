"""Kept pictures and anomaly maps: files under the hash of their content."""

import hashlib
import re
from pathlib import Path

from wscxr.files import write_file

_NAME = re.compile(r"[0-9a-f]{64}")


class PictureFolder:
    """A folder of files, each under the SHA-256 of its content; equal ones are kept once.

    They are patient data: the folder is readable by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep a file, whole or not at all; its name.

        Raises
        ------
        OSError
            It cannot be written.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(path, data)
        return name

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where it is not there, or is not what was kept."""
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == name else None

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # The name comes from a database, which others may write.
        if not _NAME.fullmatch(name):
            raise ValueError("not the name of a kept picture")
        return self._folder / name[:2] / name
