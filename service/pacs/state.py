"""What the watcher remembers from one run to the next: its cursor, and what failed."""

import hashlib
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.pacs.errors import StateError

_VERSION = 1
# The table of failures keeps the name it had in version 1.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE cursor (archive TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE done (archive TEXT, digest BLOB, PRIMARY KEY (archive, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    archive TEXT NOT NULL,
    key TEXT NOT NULL,
    study TEXT,
    code TEXT NOT NULL,
    at REAL NOT NULL,
    UNIQUE (archive, key)
) STRICT;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True)
class Failure:
    """An instance that failed for good.

    Attributes
    ----------
    id
        Its number in the list of failures.
    key
        The feed's name of it; see `service.pacs.feeds.Feed`.
    study
        Study Instance UID; None when even that could not be read.
    code
        Stable code of the reason.
    at
        When it failed, in seconds since 1970.
    """

    id: int
    key: str
    study: str | None
    code: str
    at: float


class State:
    """A SQLite file that several processes may use at once.

    Parameters
    ----------
    path
        The file; created, readable by its owner alone, when it is missing.
    archive
        Address of the archive; each archive has its own cursor.

    Raises
    ------
    StateError
        The file cannot be used, or another version wrote it.
    """

    def __init__(self, path: Path, archive: str) -> None:
        self._archive = hashlib.sha256(archive.encode()).hexdigest()
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"the state file cannot be used: {type(error).__name__}") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def cursor(self) -> int | None:
        """Number of the last change before which all is finished; None at first."""
        row = self._db.execute("SELECT seq FROM cursor WHERE archive = ?", (self._archive,))
        found = row.fetchone()
        return None if found is None else int(found[0])

    def advance(self, seq: int) -> None:
        """Move the cursor forward; another watcher may be ahead already."""
        self._db.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, ?)",
            (self._archive, seq, seq),
        )

    def rewind(self) -> None:
        """Move the cursor to the beginning, when the archive's own count starts over."""
        self._db.execute("UPDATE cursor SET seq = 0 WHERE archive = ?", (self._archive,))

    def finish(self, key: str) -> None:
        """Record that an instance is finished."""
        self._db.execute("INSERT OR IGNORE INTO done VALUES (?, ?)", (self._archive, _digest(key)))

    def is_finished(self, key: str) -> bool:
        """Whether an instance is finished."""
        row = self._db.execute(
            "SELECT 1 FROM done WHERE archive = ? AND digest = ?", (self._archive, _digest(key))
        )
        return row.fetchone() is not None

    def fail(self, key: str, study: str | None, code: str) -> None:
        """Record that an instance failed for good."""
        self._db.execute(
            "INSERT INTO set_aside (archive, key, study, code, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET study = excluded.study, code = excluded.code,"
            " at = excluded.at",
            (self._archive, key, study, code, time.time()),
        )

    def clear_failure(self, key: str) -> None:
        """Forget that an instance failed, if it did."""
        self._db.execute(
            "DELETE FROM set_aside WHERE archive = ? AND key = ?", (self._archive, key)
        )

    def failures(self) -> list[Failure]:
        """List what failed for good, oldest first."""
        rows = self._db.execute(
            "SELECT id, key, study, code, at FROM set_aside WHERE archive = ? ORDER BY id",
            (self._archive,),
        )
        return [Failure(*row) for row in rows]

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with closing(self._db.execute("PRAGMA user_version")) as row:
            version = row.fetchone()[0]
        if version == 0:
            self._create()
        elif version != _VERSION:
            raise StateError("the state file was written by another version")

    def _create(self) -> None:
        try:
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError:
            # Another watcher was faster, or the file holds other tables.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
