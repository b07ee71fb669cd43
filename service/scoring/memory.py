"""The memory that images under way may take together."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import QueueFull
from wscxr.errors import TooManyPixels

_LARGE = 64 * 1024 * 1024
"""Bytes of an image from which on its memory is given back to the system by force."""

_SETTLE_S = 1.0
"""How long after its end, in seconds: until then others hold on to it, and more may follow."""


class DecodingMemory:
    """Counts the memory of all images that are decoded or kept, over all threads and models.

    Parameters
    ----------
    limit
        Most of it, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()
        self._releasing = False

    @property
    def held(self) -> int:
        """Bytes that are taken now."""
        return self._held

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one image takes; it is given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()

    def change(self, before: int, after: int) -> None:
        """Take `after` bytes in place of `before`; errors as `Share.start`."""
        with self._lock:
            if after > self._limit:
                raise TooManyPixels(
                    f"decoding the image needs {after} bytes of memory; the limit is {self._limit}"
                )
            if after > before and self._held - before + after > self._limit:
                raise QueueFull
            self._held += after - before

    def release_soon(self) -> None:
        """Have free memory given back to the system: the C library keeps it for the next image.

        Does nothing where the C library is not glibc.
        """
        with self._lock:
            if self._releasing or sys.platform != "linux":
                return
            self._releasing = True
        timer = threading.Timer(_SETTLE_S, self._release)
        timer.daemon = True
        timer.start()

    def _release(self) -> None:
        self._releasing = False
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class Share:
    """What one image takes of a `DecodingMemory`.

    A decoder cannot be stopped: where the image was given up meanwhile, its memory counts until the
    decoder is done.
    """

    def __init__(self, memory: DecodingMemory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._bytes = 0
        self._peak = 0
        self._decoding = False
        self._closed = False

    def start(self, size: int) -> None:
        """Take so many bytes, before an image is decoded.

        Raises
        ------
        QueueFull
            Others have so much that they are not free.
        TooManyPixels
            They are more than there are for all images together.
        """
        with self._lock:
            self._set(size)
            self._decoding = True

    def end(self, size: int) -> None:
        """Keep only so many bytes, once the image is decoded."""
        with self._lock:
            self._decoding = False
            self._set(0 if self._closed else size)

    def close(self) -> None:
        """Give everything back, as soon as the decoder is done."""
        with self._lock:
            self._closed = True
            if not self._decoding:
                self._set(0)

    def _set(self, size: int) -> None:
        self._memory.change(self._bytes, size)
        self._bytes = size
        self._peak = max(self._peak, size)
        if size == 0 and self._peak >= _LARGE:
            self._peak = 0
            self._memory.release_soon()
