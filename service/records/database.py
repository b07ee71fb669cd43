"""The connection to the record's database: opened when needed, brought to the present version."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import RecordsFull, RecordsUnavailable, RecordsVersion, ServiceError
from service.records.location import Location

_PATIENCE_S = 5
"""How long to wait for a connection, or for another writer, in seconds."""

_STATEMENT_S = 20
"""How long one statement may take, in seconds."""

_LOCK = 0x77736378
"""Number of the advisory lock that all writers of a PostgreSQL database take."""

_FULL = "53100"
"""SQLSTATE disk_full (PostgreSQL, appendix A)."""


class Database:
    """One SQLite file, or one database of a PostgreSQL server.

    Nothing is opened before it is used, so a server that is down stops nobody else.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read within one transaction.

        Raises
        ------
        RecordsUnavailable
            The database does not answer, or not in time.
        RecordsFull
            The disk is full.
        RecordsVersion
            A later version of this program wrote the database.
        """
        with _translated(), Session(self._opened()) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Write within one transaction, the only one that writes; errors as `reading`."""
        with _translated():
            engine = self._opened().execution_options(writing=True)
            with Session(engine) as session, session.begin():
                if engine.dialect.name == "postgresql":
                    session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                yield session

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                engine = _engine(self._location)
                try:
                    _upgrade(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine


def _engine(location: Location) -> Engine:
    if location.file is not None:
        location.file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(location.url, connect_args={"timeout": _PATIENCE_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = {"statement_timeout": _STATEMENT_S * 1000, "lock_timeout": _PATIENCE_S * 1000}
    options = " ".join(f"-c {name}={value}" for name, value in milliseconds.items())
    return create_engine(
        location.url,
        pool_pre_ping=True,
        pool_timeout=_PATIENCE_S,
        connect_args={"connect_timeout": _PATIENCE_S, "options": options},
    )


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # Transactions begin where this program begins them: see _begin_sqlite.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted on a patient's behalf does not stay in free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    # A transaction that turns from reading to writing may fail, however long it waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    with engine.execution_options(writing=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            # Several services may start at once.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        present = MigrationContext.configure(connection).get_current_revision()
        if present == script.get_current_head():
            return
        if present is not None and present not in {
            each.revision for each in script.walk_revisions()
        }:
            raise RecordsVersion
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, TimeoutError, OSError) as error:
        # From None: their messages hold values of the statement, and addresses.
        raise _meaning(error) from None


def _meaning(error: BaseException) -> ServiceError:
    cause: Any = getattr(error, "orig", error)
    if getattr(cause, "sqlstate", None) == _FULL:
        return RecordsFull()
    if getattr(cause, "sqlite_errorname", "").startswith("SQLITE_FULL"):
        return RecordsFull()
    return RecordsUnavailable()
