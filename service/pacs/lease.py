"""One watcher at a time: the others wait for it to end, however it ends."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from service.pacs.errors import StateError

_LOOK_S = 1.0
"""Pause between two tries to become the active watcher, in seconds."""


@contextlib.asynccontextmanager
async def sole_watcher(
    state: Path, waiting: Callable[[str], None], pause: Callable[[float], Awaitable[None]]
) -> AsyncIterator[None]:
    """Wait until no other watcher uses a state file, and keep others out until the block ends.

    The operating system holds the lock (flock) on a file beside the state, and releases it when
    its holder ends, by SIGKILL too. On a network file system that has such locks, as NFS 4 has,
    it works between machines.

    Parameters
    ----------
    state
        Path of the state file; the lock is ``<state>.lock``.
    waiting
        Called with ``host/process id`` of the active watcher, whenever that changes.
    pause
        Waits for some seconds; whatever it raises ends the waiting.

    Raises
    ------
    StateError
        There can be no file beside the state.
    """
    path = state.with_name(f"{state.name}.lock")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"the lock {path} cannot be used: {error.strerror}") from None
    try:
        known = None
        while not _take(lock):
            if (holder := _holder(lock)) != known:
                known = holder
                waiting(holder)
            await pause(_LOOK_S)
        _sign(lock)
        yield
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(lock: int) -> None:
    # Only for people to read: on a full disk the lock holds without it.
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps([socket.gethostname(), os.getpid()]).encode(), 0)


def _holder(lock: int) -> str:
    try:
        host, process = json.loads(os.pread(lock, 1000, 0))
        return f"{host}/{int(process)}"
    except (OSError, ValueError, TypeError):
        return "unknown"
