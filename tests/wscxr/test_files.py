import stat
from pathlib import Path

import pytest

from wscxr.files import write_file


def test_folders_are_made_and_the_content_is_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "out.json"
    write_file(file, b"content")
    assert file.read_bytes() == b"content"
    assert [path.name for path in file.parent.iterdir()] == ["out.json"]


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"an older and longer content")
    write_file(file, b"new")
    assert file.read_bytes() == b"new"


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.write_bytes(b"")
    write_file(tmp_path / "out", b"")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["chmod", "replace"])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, moment: str
) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"older")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Path, moment, fail)
        with pytest.raises(type(error)):
            write_file(file, b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"older"}


def test_the_content_is_complete_before_the_name_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens the file at the moment of the rename reads all of it."""
    size: list[int] = []
    replace = Path.replace

    def spy(self: Path, target: Path) -> Path:
        size.append(len(self.read_bytes()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    write_file(tmp_path / "out", b"12345")
    assert size == [5]
