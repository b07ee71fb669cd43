"""Settings that belong to a whole process: commands and the app make them, imports never do."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_DICOM_MODULES = r"(pydicom|highdicom|openjpeg|libjpeg|wscxr\.(imaging|results)\.dicom)\b"
"""Whose warnings quote header values; Python counts a warning to the module that called pydicom."""

_SILENT = logging.CRITICAL + 1


def configure_process() -> None:
    """Set up a process that is this project's own: a command, or a server of the app.

    Call it before PyTorch is imported. It turns off warnings and log records of the DICOM
    libraries: both quote the header values they complain of, which may be patient data. A program
    that uses this package as a library needs none of it, for `quiet_dicom` guards every read.
    """
    # How long the OpenMP threads of PyTorch spin while they wait for each other. By default they
    # spin for milliseconds, and where something else wants the core a batch takes three to five
    # times as long; asleep at once, a lone image takes twice as long. This is in between.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.getLogger("pydicom").setLevel(_SILENT)
    warnings.filterwarnings("ignore", module=_DICOM_MODULES)


class _QuietDicom:
    """Keeps pydicom from judging and quoting header values while a DICOM object is read or made.

    Any number of threads may be inside at once; when the last one leaves, the warning filters, the
    level of pydicom's log and its validation mode are what they were before the first one came.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._silence = _silenced()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._silence = _silenced()
                self._silence.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._silence.__exit__(None, None, None)


@contextmanager
def _silenced() -> Iterator[None]:
    from pydicom import config

    log, mode = logging.getLogger("pydicom"), config.settings.reading_validation_mode
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_DICOM_MODULES)
        log.setLevel(_SILENT)
        config.settings.reading_validation_mode = config.IGNORE
        try:
            yield
        finally:
            log.setLevel(level)
            config.settings.reading_validation_mode = mode


quiet_dicom = _QuietDicom()
"""Context in which DICOM objects are read and made; see `_QuietDicom`."""
