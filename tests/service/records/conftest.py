"""An SQLite file and a real PostgreSQL server, started by the tests."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
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
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of our own, without the database's name."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    data, port = folder / "data", free_port()
    # It refuses to run as root.
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        shutil.chown(folder, pwd.getpwnam(user).pw_uid)
        for parent in folder.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
    options: dict[str, Any] = {"user": user, "check": True, "capture_output": True, "cwd": folder}
    subprocess.run([initdb, "-D", data, "-U", "wscxr", "-A", "trust", "--no-sync"], **options)
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    log = folder / "log"
    subprocess.run([pg_ctl, "-D", data, "-w", "-l", log, "-o", settings, "start"], **options)
    yield f"postgresql://wscxr@127.0.0.1:{port}"
    subprocess.run(
        [pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"], **(options | {"check": False})
    )


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
