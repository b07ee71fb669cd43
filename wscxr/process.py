"""Settings that belong to a whole process: commands and the app make them, imports never do."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_DICOM_MODULES = r"(pydicom|highdicom|openjpeg|libjpeg|wscxr\.(imaging|results)\.dicom)\b"
"""Whose warnings quote header values; Python counts a warning to the module that called pydicom."""

_SILENT = logging.CRITICAL + 1


_KNOWN = ("service", "training", "wscxr", "uvicorn")
"""Loggers whose texts are known: this project's own, and those of the server that runs it."""


class KnownTextFilter(logging.Filter):
    """Keeps the text of other libraries' log records from being written.

    It may quote what a library complains of: pydicom quotes header values, which are patient data.
    What is left of such a record is where it comes from; an exception keeps its type and frames
    where the handler's formatter writes those alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put a place in the code for an unknown text; every record passes."""
        if record.name.partition(".")[0] not in _KNOWN:
            record.msg = (
                f"{record.module}:{record.lineno} of {record.name} (its text is not logged)"
            )
            record.args = ()
        return True


_known_text = KnownTextFilter()


def configure_process() -> None:
    """Set up a process that is this project's own: a command, or a server of the app.

    Call it before PyTorch is imported. Log records of other libraries lose their text, and so do
    warnings, which become log records; those of the DICOM libraries are not written at all. A
    service that sets up logging of its own passes all through `KnownTextFilter` again. A program
    that uses this package as a library needs none of it, for `quiet_dicom` guards every read.

    A crash leaves no core dump: it would hold the radiographs in memory, headers included.
    """
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    # How long the OpenMP threads of PyTorch spin while they wait for each other. By default they
    # spin for milliseconds, and where something else wants the core a batch takes three to five
    # times as long; asleep at once, a lone image takes twice as long. This is in between.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Where no handler is set up, Python writes warnings and errors through this one.
    if logging.lastResort is not None:
        logging.lastResort.addFilter(_known_text)
    logging.captureWarnings(capture=True)
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
