"""JSON lines on standard error, with nothing that a client sent."""

import logging.config
import traceback
from dataclasses import dataclass
from types import TracebackType

from cachetools import LRUCache
from pythonjsonlogger.json import JsonFormatter

from wscxr.process import KnownTextFilter

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class SafeJsonFormatter(JsonFormatter):
    """Writes a JSON object for each record, and an exception as type and frames, without message.

    The message of an exception may quote what it failed on: a file name, a header, a value of an
    image. Type and place are enough to find the fault.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            timestamp=True,
            rename_fields={"levelname": "level", "name": "logger"},
            # uvicorn's copy of its message with colour codes.
            reserved_attrs=[*logging.makeLogRecord({}).__dict__, "color_message"],
        )

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - logging's name
        """Write type and frames of an exception and of those that caused it."""
        _, error, _ = ei
        parts = []
        while error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            places = " > ".join(f"{f.filename}:{f.lineno} {f.name}" for f in frames)
            parts.append(f"{type(error).__module__}.{type(error).__qualname__} at {places}")
            error = error.__cause__ or error.__context__
        return "; caused by ".join(parts)


class FloodFilter(logging.Filter):
    """Lets few warnings and errors of one kind through in a while, so that no fault fills a disk.

    Critical records always pass, and so do those below a warning: they come with work that was
    done.

    Parameters
    ----------
    limit
        Most records of one kind in a period; a kind is a logger, a level and a message template.
        The first of the next period says as `suppressed` how many were left out.
    period_s
        The period, in seconds.
    """

    def __init__(self, limit: int = 50, period_s: float = 60) -> None:
        super().__init__()
        self._limit = limit
        self._period_s = period_s
        # Templates are texts of the code; the bound is for a library that formats them itself.
        self._kinds: LRUCache[tuple[str, int, str], _Period] = LRUCache(1000)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        kind = (record.name, record.levelno, str(record.msg))
        period = self._kinds.get(kind)
        if period is None or record.created - period.began > self._period_s:
            if period is not None and period.count > self._limit:
                record.suppressed = period.count - self._limit
            period = self._kinds[kind] = _Period(record.created)
        period.count += 1
        return period.count <= self._limit


@dataclass
class _Period:
    began: float
    count: int = 0


def configure_logging(level: str) -> None:
    """Send all records of this process through `KnownTextFilter` and `SafeJsonFormatter`.

    Parameters
    ----------
    level
        Lowest level written for this project and the server: info, warning or error. Libraries
        write only warnings and errors, because their debug output may show what they read.
    """
    own = {"level": level.upper()}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": SafeJsonFormatter}},
            "filters": {"flood": {"()": FloodFilter}, "known": {"()": KnownTextFilter}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "filters": ["flood", "known"],
                }
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {
                "service": own,
                "wscxr": own,
                "uvicorn": {**own, "handlers": [], "propagate": True},
                "uvicorn.error": {**own, "propagate": True},
            },
        }
    )
    # Its lines hold path, query and the client's address; those of `AccessMiddleware` do not.
    logging.getLogger("uvicorn.access").disabled = True
    logging.captureWarnings(capture=True)
