"""Output files that are written whole, or not at all."""

import os
import tempfile
from pathlib import Path


def default_mode(mode: int) -> int:
    """What the umask leaves of the permissions of a new file or folder."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def write_file(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, then rename.

    Parameters
    ----------
    path
        The file; its folder is made where it is missing, and an older file is replaced.
    data
        Its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # The temporary file is the owner's alone; the result follows the umask.
            temporary.chmod(default_mode(0o666))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
