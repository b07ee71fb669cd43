"""The memory that images under way may take together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import QueueFull
from wscxr.errors import TooManyPixels


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


class Share:
    """What one image takes of a `DecodingMemory`.

    A decoder cannot be stopped: where the image was given up meanwhile, its memory counts until the
    decoder is done.
    """

    def __init__(self, memory: DecodingMemory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._bytes = 0
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
