"""The record, opened by a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.records.database import Database
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.pictures import PictureFolder
from service.records.store import Records
from service.settings import Settings
from wscxr.errors import ConfigError


@dataclass(frozen=True)
class OpenRecord:
    """A record with its key, and the folder of its pictures where there is one."""

    records: Records
    key: RecordKey
    pictures: PictureFolder | None

    def remove(self, names: list[str]) -> None:
        """Delete kept pictures that no analysis names any more."""
        if self.pictures is not None:
            for name in names:
                self.pictures.remove(name)


@contextmanager
def opened(settings: Settings) -> Iterator[OpenRecord]:
    """Open the record that settings name.

    Raises
    ------
    ConfigError
        They name none, or its key cannot be read.
    """
    location = Location.parse(settings.records)
    if location is None:
        raise ConfigError("name the record: --records URL, or WSCXR_RECORDS")
    if location.file is not None and not location.file.is_file():
        raise ConfigError("there is no record at that path")
    key = RecordKey.read(settings.records_key_file, location)
    folder = settings.record_images
    database = Database(location)
    try:
        pictures = None if folder is None else PictureFolder(folder)
        yield OpenRecord(Records(database, Ledger(key)), key, pictures)
    finally:
        database.close()
