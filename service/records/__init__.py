"""The record of every analysis and of every review: one database, SQLite or PostgreSQL."""

from typing import TYPE_CHECKING

from service.records.location import Location
from wscxr.errors import ConfigError

if TYPE_CHECKING:
    from service.prometheus import Metrics
    from service.records.recorder import Recorder
    from service.settings import Settings


def open_recorder(settings: "Settings", metrics: "Metrics") -> "Recorder | None":
    """Make what records analyses; None where the settings want no record.

    Raises
    ------
    ConfigError
        The libraries of the record are not installed, or its key cannot be read.
    """
    location = Location.parse(settings.records)
    if location is None:
        return None
    try:
        from service.records.recorder import Recorder
    except ModuleNotFoundError as error:
        raise ConfigError("a record needs the extra: pip install 'wscxr[records]'") from error
    return Recorder(settings, location, metrics.watch_records())
