"""Named API keys: a TOML file with the hashes of the keys, their roles and their dates.

The file holds one table for each key, which ``wscxr keys new`` prints::

    [[keys]]
    name = "reading-room"
    role = "reader"
    sha256 = "2f77668a9dfbf8d5848b9eeb4a7145ca94c6ed9236e4a773f6dcafa5132b2f91"
    not_before = 2026-01-01
    expires = 2027-01-01
"""

import hashlib
import logging
import secrets
import time
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from wscxr.errors import ConfigError
from wscxr.options import describe_invalid

logger = logging.getLogger(__name__)

Role = Literal["reader", "admin"]
"""What a caller may do: a reader has images scored; an admin also decides what is served."""

SINGLE_KEY = "api-key"
"""Name of the caller whose key is WSCXR_API_KEY."""

ANONYMOUS = "anonymous"
"""Name of every caller where no key is set."""

_LOOK_EVERY_S = 1.0


def _in_utc(value: object) -> object:
    """A date of TOML as the moment it begins; times without an offset are in UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_in_utc)]


class ApiKey(BaseModel):
    """One key: who has it, what it allows, and when.

    Attributes
    ----------
    name
        Who has it; stands in the access log and in records.
    role
        What it allows.
    sha256
        SHA-256 of the key, as 64 hex digits. A plain hash is enough for keys that were made by
        chance; nobody finds 256 random bits by trying.
    not_before, expires
        The key is in force from the first moment on, and no longer at the second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    not_before: Moment | None = None
    expires: Moment | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in (ANONYMOUS, SINGLE_KEY):
            raise ValueError(f"the name {self.name} means something else already")
        if self.not_before and self.expires and self.not_before >= self.expires:
            raise ValueError(f"the key {self.name} expires before it is in force")
        return self

    def in_force(self, moment: datetime) -> bool:
        """Whether the key opens anything at a moment."""
        begun = self.not_before is None or self.not_before <= moment
        return begun and (self.expires is None or moment < self.expires)

    def toml(self) -> str:
        """The key as a table of the keys file."""
        # Names, roles and hashes hold nothing that TOML would have to escape.
        lines = [f'{field} = "{getattr(self, field)}"' for field in ("name", "role", "sha256")]
        dates = [(field, getattr(self, field)) for field in ("not_before", "expires")]
        lines += [f"{field} = {moment.isoformat()}" for field, moment in dates if moment]
        return "\n".join(["[[keys]]", *lines, ""])


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field in ("name", "sha256"):
            if len({getattr(key, field) for key in self.keys}) < len(self.keys):
                raise ValueError(f"two keys have the same {field}")
        return self


def new_key(
    name: str, role: str, *, not_before: str | None = None, expires: str | None = None
) -> tuple[str, ApiKey]:
    """Make a key of 256 random bits.

    Parameters
    ----------
    name, role
        See `ApiKey`.
    not_before, expires
        Dates or times of ISO 8601.

    Returns
    -------
    str
        The key itself, which is kept nowhere.
    ApiKey
        Its entry.

    Raises
    ------
    ConfigError
        The name cannot be used, or a date is none.
    """
    key = secrets.token_urlsafe(32)
    entry: dict[str, object] = {"name": name, "role": role, "sha256": sha256_of(key)}
    try:
        for field, text in (("not_before", not_before), ("expires", expires)):
            if text is not None:
                entry[field] = datetime.fromisoformat(text)
        return key, ApiKey.model_validate(entry)
    except ValidationError as error:
        raise ConfigError(f"the key cannot be made: {describe_invalid(error)}") from None
    except ValueError:
        raise ConfigError("a date is not written as 2027-01-31 or 2027-01-31T12:00+01:00") from None


def sha256_of(key: str) -> str:
    """The hash that a keys file has of a key, as 64 hex digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read a keys file.

    Raises
    ------
    ConfigError
        It cannot be read, or says something that is unknown or contradicts itself.
    """
    try:
        return _Keys.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).keys
    except ValidationError as error:
        raise ConfigError(f"the keys file cannot be used: {describe_invalid(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the keys file is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError("the keys file is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"the keys file cannot be read: {error}") from None


class KeysFile:
    """A keys file that is read again when it changes, at most once a second.

    Where the changed file cannot be used, the log says why, and the keys read before stay in force.

    Parameters
    ----------
    path
        The file; a symbolic link that is turned to another file counts as changed.

    Raises
    ------
    ConfigError
        See `read_keys`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._looked = time.monotonic()
        self._keys = read_keys(path)

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """The keys of the file as it is now."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._keys

    def _read_again(self) -> None:
        try:
            self._keys = read_keys(self._path)
        except ConfigError as error:
            reason = {"code": error.code, "reason": str(error)}
            logger.error("keys file not taken over: the keys before stay in force", extra=reason)
        else:
            logger.info("keys file read again", extra={"keys": len(self._keys)})

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
