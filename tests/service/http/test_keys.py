import json
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.http.keys import ApiKey, KeysFile, new_key, read_keys, sha256_of
from service.settings import Settings
from wscxr.errors import ConfigError
from wscxr.options import validated

HASH = "0" * 64


def table(name: str = "ward", role: str = "reader", sha256: str = HASH, more: str = "") -> str:
    return f'[[keys]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{sha256}"\n{more}\n'


def test_a_new_key_opens_and_its_entry_does_not_hold_it(tmp_path: Path) -> None:
    key, entry = new_key("ward", "admin", not_before="2026-01-01", expires="2027-01-01T12:00+01:00")
    path = tmp_path / "keys.toml"
    path.write_text(entry.toml())
    assert read_keys(path) == (entry,)
    assert entry.sha256 == sha256_of(key)
    assert key not in entry.toml()
    assert len(key) == 43


def test_the_command_appends_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    names = ["ward", "watcher"]
    for name in names:
        done = CliRunner().invoke(app, ["keys", "new", name, "--expires", "2099-01-01"])
        assert done.exit_code == 0
        key = done.stderr.split()[-1]
        assert key not in done.stdout
        path.write_text((path.read_text() if path.exists() else "") + done.stdout)
        assert read_keys(path)[-1].sha256 == sha256_of(key)
    assert [key.name for key in read_keys(path)] == names


def test_when_a_key_is_in_force() -> None:
    day = timedelta(days=1)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    key = ApiKey(name="ward", role="reader", sha256=HASH, not_before=begin, expires=begin + day)
    moments = [begin - day, begin, begin + day / 2, begin + day]
    assert [key.in_force(moment) for moment in moments] == [False, True, True, False]
    assert ApiKey(name="ward", role="reader", sha256=HASH).in_force(begin)


@pytest.mark.parametrize(
    "written", ["2026-05-01", "2026-05-01T00:00:00", "2026-05-01T02:00:00+02:00"]
)
def test_dates_of_toml(tmp_path: Path, written: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(table(more=f"expires = {written}"))
    assert read_keys(path)[0].expires == datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "keys: Field required"),
        ("keys = []", "keys: Tuple should have at least 1 item"),
        ("[[keys]", "is not TOML"),
        (table(role="root"), "role: Input should be 'reader' or 'admin'"),
        (table(name="a ward"), "name: String should match"),
        (table(name="anonymous"), "the name anonymous means something else"),
        (table(name="api-key"), "the name api-key means something else"),
        (table(sha256="the-key-itself-by-mistake"), "sha256: String should match"),
        (table(more="owner = 1"), "owner: Extra inputs"),
        (table(more="expires = 2026-01-01\nnot_before = 2026-01-01"), "expires before"),
        (table() + table(sha256="1" * 64), "two keys have the same name"),
        (table() + table(name="other"), "two keys have the same sha256"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert reason in str(caught.value)
    assert "by-mistake" not in str(caught.value)
    with pytest.raises(ConfigError, match="the keys file"):
        validated(Settings, {"api_keys_file": path})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        validated(Settings, {"api_keys_file": tmp_path / "nowhere"})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_keys(tmp_path / "binary")


def changed(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1))


def test_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("service.http.keys._LOOK_EVERY_S", 0)
    path = tmp_path / "keys.toml"
    path.write_text(table())
    file = KeysFile(path)
    assert [key.name for key in file.keys] == ["ward"]
    changed(path, table(name="other"))
    assert [key.name for key in file.keys] == ["other"]
    # A slip of the pen locks nobody out, and opens nothing.
    changed(path, "nonsense")
    path.unlink()
    assert [key.name for key in file.keys] == ["other"]
    assert [key.name for key in file.keys] == ["other"]
    refused = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(refused) == 1
    path.write_text(table(name="third"))
    assert [key.name for key in file.keys] == ["third"]


def test_a_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(table())
    file = KeysFile(path)
    path.unlink()
    assert [key.name for key in file.keys] == ["ward"]


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSCXR_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    assert Settings().trusted_proxies == ("10.0.0.0/8", "::1")
    for wrong in ("proxy.example", "10.0.0.1/8", "*"):
        with pytest.raises(ConfigError, match="trusted_proxies"):
            validated(Settings, {"trusted_proxies": wrong})


def test_json_of_the_settings_has_no_key() -> None:
    settings = Settings.model_validate({"api_key": "an-api-key-of-good-length"})
    assert "good-length" not in json.dumps(settings.model_dump(mode="json"))
