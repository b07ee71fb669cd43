"""A small archive of good and bad files, and what reads its rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.dicom_files import dataset, written
from tests.helpers import Ran, run_cli, write_tiny_bundle
from tests.service.pacs.conftest import orthanc, start_orthanc

__all__ = ["orthanc", "start_orthanc"]  # fixtures

BAD = {"broken.png": b"\x89PNG\r\n\x1a\nnothing", "empty.jpg": b"", "text.dcm": b"no picture"}

Score = Callable[..., Ran]


def rows_in(out: Path) -> list[dict[str, Any]]:
    """All rows of a run, by id; fails where an id comes twice."""
    rows = [row for path in out.glob("rows-*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    return sorted(rows, key=lambda row: str(row["id"]))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that scores in milliseconds; read only."""
    path = tmp_path_factory.mktemp("model_store") / "tiny" / "1"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def images(unseen: Path, tmp_path: Path) -> Path:
    """Nine phantoms, a chest radiograph in DICOM, and three files that cannot be scored."""
    folder = tmp_path / "archive"
    for kind in ("normal", "abnormal"):
        shutil.copytree(unseen / kind, folder / kind)
    (folder / "chest.dcm").write_bytes(written(dataset()))
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def score(bundle: Path, tmp_path: Path) -> Score:
    """Runs ``wscxr archive score`` into ``out`` with the small bundle and one process."""

    def run(*arguments: str | Path, out: Path | None = None) -> Ran:
        given = () if "--bundle" in arguments else ("--bundle", bundle)
        options = (*given, "--processes", "1", "--device", "cpu", "--engine", "torch")
        return run_cli("archive", "score", out or tmp_path / "out", *arguments, *options)

    return run
