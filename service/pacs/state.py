"""What the watcher knows from one run to the next: how far it came, and what it set aside."""

import hashlib
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.pacs.errors import StateError

_VERSION = 1
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
class SetAside:
    """An instance that failed for good.

    Attributes
    ----------
    id
        Number to name it by.
    key
        What the archive calls it; see `service.pacs.feed.Feed`.
    study
        Study Instance UID; None when even that could not be read.
    code
        Why, as a stable code.
    at
        When, in seconds since 1970.
    """

    id: int
    key: str
    study: str | None
    code: str
    at: float


class State:
    """One SQLite file; several processes may use it at once.

    Parameters
    ----------
    path
        The file; made, readable by its owner alone, when it is not there.
    archive
        Address of the archive: each has a cursor of its own.

    Raises
    ------
    StateError
        The file is something else, or cannot be opened.
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
        """Number of the last change up to which all is finished; None before the first."""
        row = self._db.execute("SELECT seq FROM cursor WHERE archive = ?", (self._archive,))
        found = row.fetchone()
        return None if found is None else int(found[0])

    def advance(self, seq: int) -> None:
        """Move the cursor; never back, as another watcher may be ahead."""
        self._db.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, ?)",
            (self._archive, seq, seq),
        )

    def rewind(self) -> None:
        """Move the cursor to the beginning: the archive counts anew."""
        self._db.execute("UPDATE cursor SET seq = 0 WHERE archive = ?", (self._archive,))

    def finish(self, key: str) -> None:
        """Note that an instance is finished."""
        self._db.execute("INSERT OR IGNORE INTO done VALUES (?, ?)", (self._archive, _digest(key)))

    def is_finished(self, key: str) -> bool:
        """Whether an instance is finished."""
        row = self._db.execute(
            "SELECT 1 FROM done WHERE archive = ? AND digest = ?", (self._archive, _digest(key))
        )
        return row.fetchone() is not None

    def set_aside(self, key: str, study: str | None, code: str) -> None:
        """Note that an instance failed for good."""
        self._db.execute(
            "INSERT INTO set_aside (archive, key, study, code, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET study = excluded.study, code = excluded.code,"
            " at = excluded.at",
            (self._archive, key, study, code, time.time()),
        )

    def readmit(self, key: str) -> None:
        """Forget that an instance failed."""
        self._db.execute(
            "DELETE FROM set_aside WHERE archive = ? AND key = ?", (self._archive, key)
        )

    def failures(self) -> list[SetAside]:
        """All that was set aside, oldest first."""
        rows = self._db.execute(
            "SELECT id, key, study, code, at FROM set_aside WHERE archive = ? ORDER BY id",
            (self._archive,),
        )
        return [SetAside(*row) for row in rows]

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
