"""Where the record is: the value of WSCXR_RECORDS, understood without a database library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

OFF = "off"
_SQLITE = "sqlite:///"
_SERVERS = ("postgresql://", "postgres://", "postgresql+psycopg://")


@dataclass(frozen=True)
class Location:
    """A database.

    Attributes
    ----------
    url
        As SQLAlchemy takes it; may hold a password.
    file
        The file of an SQLite database; None for a server's.
    """

    url: str
    file: Path | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Understand ``sqlite:///PATH``, ``postgresql://...`` or ``off``; None for off.

        Raises
        ------
        ValueError
            It is none of these. The message does not repeat it: it may hold a password.
        """
        if text == OFF:
            return None
        if text.startswith(_SQLITE) and len(text) > len(_SQLITE):
            file = Path(text.removeprefix(_SQLITE))
            return cls(f"{_SQLITE}{file}", file)
        for scheme in _SERVERS:
            if text.startswith(scheme) and urlsplit(text).path.strip("/"):
                return cls(f"postgresql+psycopg://{text.removeprefix(scheme)}", None)
        raise ValueError("give sqlite:///PATH, postgresql://USER@HOST/DATABASE, or off")
