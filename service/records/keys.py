"""The secret key behind the hashes of the record."""

import hmac
import os
from pathlib import Path
from secrets import token_hex
from typing import Self

from service.records.location import Location
from wscxr.errors import ConfigError

_MIN_LENGTH = 32


class RecordKey:
    """Makes keyed hashes: nobody without the key can compute one, or look for what it stands for.

    Parameters
    ----------
    secret
        At least 32 characters.

    Raises
    ------
    ConfigError
        It is shorter.
    """

    def __init__(self, secret: str) -> None:
        if len(secret) < _MIN_LENGTH:
            raise ConfigError(f"the key of the record is shorter than {_MIN_LENGTH} characters")
        self._secret = secret.encode()

    @classmethod
    def read(cls, file: Path | None, location: Location) -> Self:
        """Read the key from its file.

        Parameters
        ----------
        file
            The file; where it is not named, ``<database>.key`` beside an SQLite database, which is
            made where it is missing, readable by its owner alone.
        location
            The database.

        Raises
        ------
        ConfigError
            The key cannot be read or made, or a server's database comes without one.
        """
        try:
            if file is not None:
                return cls(file.read_text(encoding="utf-8").strip())
            if location.file is None:
                raise ConfigError("a database on a server needs WSCXR_RECORDS_KEY_FILE")
            file = location.file.with_name(location.file.name + ".key")
            return cls(_read_or_make(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key of the record cannot be read: {error}") from None

    def digest(self, purpose: str, content: bytes) -> str:
        """Hash with HMAC-SHA-256 (RFC 2104); 64 hex digits.

        Parameters
        ----------
        purpose
            What the hash is for: equal contents have different hashes for different purposes.
        content
            What is hashed.
        """
        return hmac.new(self._secret, purpose.encode() + b"\0" + content, "sha256").hexdigest()


def _read_or_make(file: Path) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip()
    secret = token_hex(32)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return secret
