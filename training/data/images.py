"""Image files -> model inputs, read ahead on other threads."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from training.data.samples import Sample
from wscxr.anatomy import ModelInput, Preparation
from wscxr.errors import DataError, ImageError
from wscxr.imaging import Radiograph, read_radiograph
from wscxr.progress import Track, untracked

S = TypeVar("S")
T = TypeVar("T")

BATCH = 8
"""Images that go through the backbone together."""

_READ_AHEAD = 64
"""Files read before they are needed, which bounds memory."""


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """One image file, ready for the backbone.

    Attributes
    ----------
    prepared
        Its model input.
    sha256
        Hash of the file's bytes.
    """

    prepared: ModelInput
    sha256: str


def open_radiograph(path: Path, side: int | None = None) -> tuple[Radiograph, bytes]:
    """Read an image file.

    Parameters
    ----------
    side
        What `Radiograph.view` will be asked for, where that is known.

    Returns
    -------
    tuple
        The radiograph, and the bytes it was read from.

    Raises
    ------
    DataError
        The file cannot be read; the message names it and gives the reason and its code.
    """
    try:
        data = path.read_bytes()
        return read_radiograph(data, side=side), data
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ImageError as error:
        raise DataError(f"{path}: {error} ({error.code})") from error


def load_batches(
    samples: Sequence[Sample], prepare: Preparation, track: Track = untracked
) -> Iterator[list[LoadedImage]]:
    """Read images in order, in batches, ahead of the backbone.

    Parameters
    ----------
    samples
        The images.
    prepare
        Makes a model input of a radiograph.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """

    def load(sample: Sample) -> LoadedImage:
        radiograph, data = open_radiograph(sample.path, prepare.view_side)
        return LoadedImage(prepared=prepare(radiograph), sha256=hashlib.sha256(data).hexdigest())

    return in_batches(samples, load, track)


def in_batches(
    samples: Sequence[S], load: Callable[[S], T], track: Track = untracked
) -> Iterator[list[T]]:
    """Load something of each image, in order, in batches, ahead of its use.

    Parameters
    ----------
    samples
        The images, or their names.
    load
        Called on other threads; what it returns is held for up to `BATCH` + 64 images.
    """
    images = iter(track(_load_ahead(samples, load), "reading images", len(samples)))
    while batch := list(islice(images, BATCH)):
        yield batch


def _load_ahead(samples: Sequence[S], load: Callable[[S], T]) -> Iterator[T]:
    pending: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor()
    try:
        for sample in samples:
            pending.append(pool.submit(load, sample))
            if len(pending) == _READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def readable(samples: Sequence[Sample], track: Track = untracked) -> tuple[list[Sample], list[str]]:
    """Separate samples that can be read from those that cannot.

    Returns
    -------
    tuple
        The readable samples in their order; one message for each other, naming the file.
    """
    good: list[Sample] = []
    reasons: list[str] = []

    def reason(sample: Sample) -> str | None:
        try:
            open_radiograph(sample.path)
        except DataError as error:
            return str(error)
        return None

    pool = ThreadPoolExecutor()
    try:
        checked = zip(samples, pool.map(reason, samples), strict=True)
        for sample, found in track(checked, "checking images", len(samples)):
            if found is None:
                good.append(sample)
            else:
                reasons.append(found)
    finally:
        # An interruption must not wait for files that are no longer needed.
        pool.shutdown(cancel_futures=True)
    return good, reasons
