from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings
from wscxr.errors import ConfigError
from wscxr.options import validated

KEY = "0123456789abcdef"


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"WSCXR_{name.upper()}", raising=False)
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.port == 8000
    assert settings.key is None
    assert settings.image_limits.max_bytes == 64 * 1024 * 1024
    assert settings.image_limits.max_pixels == 100_000_000


def test_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WSCXR_MODEL_STORE", str(tmp_path))
    monkeypatch.setenv("WSCXR_MODEL", "chest/1.0")
    monkeypatch.setenv("WSCXR_API_KEY", KEY)
    settings = Settings()
    assert settings.model_store == tmp_path
    assert settings.model == "chest/1.0"
    assert KEY not in repr(settings)


def test_the_key_can_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    key = Settings(api_key_file=path).key
    assert key is not None
    assert key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"api_key": KEY, "api_key_file": "key"}, "api_key or api_key_file, not both"),
        ({"api_key": "short"}, "shorter than 16"),
        ({"api_key_file": "nowhere"}, "api_key_file cannot be read"),
        ({"max_files": 65}, "max_files (65) is above queue_size (64)"),
        ({"max_batch": 65}, "max_batch (65) is above queue_size (64)"),
        ({"max_held_bytes": 1000}, "max_body_bytes (67108864) is above max_held_bytes (1000)"),
        ({"model": "../secret"}, "model: String should match pattern"),
        ({"model": "a/b/c"}, "model: String should match pattern"),
        ({"port": 70000}, "port: Input should be less than or equal to 65535"),
        ({"request_timeout_s": 0}, "request_timeout_s: Input should be greater than 0"),
        ({"log_level": "loud"}, "log_level: Input should be"),
    ],
)
def test_unsafe_values_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Settings, values)
    described = str(caught.value)
    assert reason in described
    assert "\n" not in described
    assert "short'" not in described


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("\n")
    with pytest.raises(ValidationError, match="shorter than"):
        Settings(api_key_file=path)
