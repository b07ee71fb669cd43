"""What the watcher remembers from one run to the next: cursor, what is done, and what failed."""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.pacs.errors import StateError, StateUnwritable

_VERSION = 2
_FAILED = """
CREATE TABLE failed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    archive TEXT NOT NULL,
    key TEXT NOT NULL,
    study TEXT,
    code TEXT NOT NULL,
    at REAL NOT NULL,
    request_id TEXT,
    UNIQUE (archive, key)
) STRICT;
"""
_STUDIES = """
CREATE TABLE studies (
    archive TEXT,
    digest BLOB,
    size TEXT NOT NULL,
    left_out INTEGER NOT NULL,
    PRIMARY KEY (archive, digest)
) STRICT, WITHOUT ROWID;
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE cursor (archive TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE done (archive TEXT, digest BLOB, PRIMARY KEY (archive, digest)) STRICT, WITHOUT ROWID;
{_FAILED}{_STUDIES}
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_FROM_1 = f"""
BEGIN IMMEDIATE;
{_FAILED}{_STUDIES}
INSERT INTO failed SELECT *, NULL FROM set_aside;
DROP TABLE set_aside;
PRAGMA user_version = {_VERSION};
COMMIT;
"""  # noqa: S608 - names of our tables
_TABLES = ("cursor", "done", "failed", "studies")


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
    request_id
        Id of the scoring service's last answer, for its log; None when it was not asked.
    """

    id: int
    key: str
    study: str | None
    code: str
    at: float
    request_id: str | None


@dataclass(frozen=True)
class KnownStudy:
    """A study in which nothing was left to do.

    Attributes
    ----------
    size
        Its number of instances then, as the archive says it; empty where it does not.
    left_out
        Whether it was there before the watcher and was never worked on.
    """

    size: str
    left_out: bool


class State:
    """A SQLite file that several processes may use at once.

    Parameters
    ----------
    path
        The file.
    archive
        The archive's name or address; each archive has its own cursor.
    formerly
        Names that the file may know the archive by, from before.
    create
        Whether to make the file, readable by its owner alone, where it is missing. If not, it
        must be there and know the archive.

    Raises
    ------
    StateError
        The file cannot be used, or another version wrote it, or it does not know the archive.

    Notes
    -----
    Every method raises `StateUnwritable` while the file cannot be read or written, and
    `StateError` when it never can.
    """

    def __init__(
        self, path: Path, archive: str, *, formerly: Sequence[str] = (), create: bool = True
    ) -> None:
        self._path = path
        self._archive = hashlib.sha256(archive.encode()).hexdigest()
        if not create and not path.is_file():
            raise StateError(f"there is no state file {path}; see --state")
        try:
            if create:
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StateError(self._cannot(error)) from None
        try:
            self._prepare(create=create)
            self._adopt(formerly)
            if not create and not self._knows_archive():
                raise StateError(
                    f"the state file {path} holds nothing of this archive; see --url and --archive"
                )
        except sqlite3.Error as error:
            self._db.close()
            raise StateError(self._cannot(error)) from None
        except StateError:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def cursor(self) -> int | None:
        """Number of the last change before which all is finished; None at first."""
        found = self._run("SELECT seq FROM cursor WHERE archive = ?", self._archive)
        return int(found[0][0]) if found else None

    def advance(self, seq: int) -> None:
        """Move the cursor forward; another watcher may be ahead already."""
        self._run(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, ?)",
            self._archive,
            seq,
            seq,
        )

    def rewind(self) -> None:
        """Move the cursor to the beginning, when the archive's own count starts over."""
        self._run("UPDATE cursor SET seq = 0 WHERE archive = ?", self._archive)

    def finish(self, key: str) -> None:
        """Record that an instance is finished."""
        self._run("INSERT OR IGNORE INTO done VALUES (?, ?)", self._archive, _digest(key))

    def is_finished(self, key: str) -> bool:
        """Whether an instance is finished."""
        query = "SELECT 1 FROM done WHERE archive = ? AND digest = ?"
        return bool(self._run(query, self._archive, _digest(key)))

    def study(self, study: str) -> KnownStudy | None:
        """Look up a study in which nothing was left to do, by its Study Instance UID."""
        query = "SELECT size, left_out FROM studies WHERE archive = ? AND digest = ?"
        found = self._run(query, self._archive, _digest(study))
        return KnownStudy(found[0][0], bool(found[0][1])) if found else None

    def know_study(self, study: str, size: str, *, left_out: bool = False) -> None:
        """Record that nothing is left to do in a study; see `KnownStudy`.

        Of the Study Instance UID only a digest is kept.
        """
        self._run(
            "INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?)",
            self._archive,
            _digest(study),
            size,
            left_out,
        )

    def left_out(self) -> int:
        """How many studies were there before the watcher and were never worked on."""
        query = "SELECT count(*) FROM studies WHERE archive = ? AND left_out"
        return int(self._run(query, self._archive)[0][0])

    def fail(self, key: str, study: str | None, code: str, request_id: str | None = None) -> None:
        """Record that an instance failed for good; arguments as the fields of `Failure`."""
        self._run(
            "INSERT INTO failed (archive, key, study, code, at, request_id)"
            " VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET study = excluded.study, code = excluded.code,"
            " at = excluded.at, request_id = excluded.request_id",
            self._archive,
            key,
            study,
            code,
            time.time(),
            request_id,
        )

    def clear_failure(self, key: str) -> None:
        """Forget that an instance failed, if it did."""
        self._run("DELETE FROM failed WHERE archive = ? AND key = ?", self._archive, key)

    def failures(self) -> list[Failure]:
        """List what failed for good, oldest first."""
        query = (
            "SELECT id, key, study, code, at, request_id FROM failed WHERE archive = ? ORDER BY id"
        )
        return [Failure(*row) for row in self._run(query, self._archive)]

    def count_failures(self) -> int:
        """How many instances failed for good."""
        return int(self._run("SELECT count(*) FROM failed WHERE archive = ?", self._archive)[0][0])

    def _run(self, statement: str, *values: str | bytes | float | None) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise StateUnwritable(self._cannot(error)) from None
        except sqlite3.Error as error:
            raise StateError(self._cannot(error)) from None

    def _cannot(self, error: Exception) -> str:
        # SQLite's messages and the system's hold nothing of a row.
        why = error.strerror if isinstance(error, OSError) else str(error)
        return f"the state file {self._path} cannot be used: {why}"

    def _adopt(self, formerly: Sequence[str]) -> None:
        """Take over what the file knows of the archive by other names."""
        for name in formerly:
            known = hashlib.sha256(name.encode()).hexdigest()
            for table in _TABLES:
                self._db.execute(
                    f"UPDATE OR IGNORE {table} SET archive = ? WHERE archive = ?",  # noqa: S608 - names of our tables
                    (self._archive, known),
                )

    def _knows_archive(self) -> bool:
        queries = (f"SELECT 1 FROM {table} WHERE archive = ?" for table in _TABLES)  # noqa: S608 - names of our tables
        return any(self._db.execute(query, (self._archive,)).fetchone() for query in queries)

    def _prepare(self, *, create: bool) -> None:
        with closing(self._db.execute("PRAGMA user_version")) as row:
            version = row.fetchone()[0]
        if version == 0 and not create:
            raise StateError(f"{self._path} is no state file")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version == 0:
            self._change(_SCHEMA)
        elif version == 1:
            self._change(_FROM_1)
        elif version != _VERSION:
            raise StateError("the state file was written by another version")

    def _change(self, script: str) -> None:
        try:
            self._db.executescript(script)
        except sqlite3.OperationalError:
            # Another process was faster, or the file holds other tables.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
