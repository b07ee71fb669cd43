"""An SQLite file and a real PostgreSQL server, started by the tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from service.records.database import Database
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.store import Records
from tests.service.serving import free_port

KEY = "0123456789abcdef0123456789abcdef"


def _program(name: str) -> str | None:
    """A program of PostgreSQL; Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=":".join(map(str, [*folders, os.environ.get("PATH", "")])))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a server of our own, without the database's name."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # It refuses to run as root; and another user may not enter pytest's folders, which every run
    # of pytest that starts closes again.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="wscxr-postgres-") as place:
        folder = Path(place)
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()

        def run(*command: str | Path) -> None:
            done = subprocess.run(
                command, user=user, cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

        run(initdb, "-D", data, "-U", "wscxr", "-A", "trust", "--no-sync")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(pg_ctl, "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
        yield f"postgresql://wscxr@127.0.0.1:{port}"
        run(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty database of each kind."""
    if request.param == "sqlite":
        found = Location.parse(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    else:
        import psycopg

        server: str = request.getfixturevalue("postgres")
        name = f"records_{uuid4().hex}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        found = Location.parse(f"{server}/{name}")
    assert found is not None
    return found


@pytest.fixture
def database(location: Location) -> Iterator[Database]:
    opened = Database(location)
    yield opened
    opened.close()


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database, Ledger(RecordKey(KEY)))
