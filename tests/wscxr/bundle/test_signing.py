import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.scoring.registry import load_bundles
from tests.helpers import CPU, folder_content, one_line_error, run_cli
from tests.service.serving import make_settings
from wscxr.bundle import schema
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.signing import SIGNATURE, TrustedKeys, new_key
from wscxr.errors import BundleDamaged, BundleUnsigned, BundleUntrusted, ConfigError


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with two key pairs: ours and theirs."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("ours.pem", "theirs.pem"):
        new_key(folder / name)
    return folder


@pytest.fixture
def trusted(keys: Path, tmp_path: Path) -> Path:
    """A folder of trusted keys: only ours."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    shutil.copy(keys / "ours.pub.pem", folder)
    return folder


@pytest.fixture
def signed(fresh_bundle: Path, keys: Path) -> Path:
    """A bundle that we signed."""
    assert run_cli("bundle", "sign", fresh_bundle, "--key", keys / "ours.pem").code == 0
    return fresh_bundle


def load(path: Path, trusted: Path) -> Bundle:
    return Bundle.load(path, CPU, trusted_keys=TrustedKeys.read([trusted]))


def test_a_signed_bundle_loads_everywhere(signed: Path, trusted: Path, keys: Path) -> None:
    for given in (trusted, keys / "ours.pub.pem"):
        bundle = load(signed, given)
        assert bundle.identity.sha256 == Bundle.load(signed, CPU).identity.sha256
    assert run_cli("bundle", "verify", signed, "--key", keys / "ours.pub.pem").code == 0
    settings = make_settings(signed.parents[1], trusted_keys=(trusted,))
    assert [each.identity.name for each in load_bundles(settings)] == ["tiny"]


def test_signing_changes_nothing_else(fresh_bundle: Path, keys: Path) -> None:
    before = folder_content(fresh_bundle)
    run_cli("bundle", "sign", fresh_bundle, "--key", keys / "theirs.pem")
    run_cli("bundle", "sign", fresh_bundle, "--key", keys / "ours.pem")
    after = folder_content(fresh_bundle)
    assert set(after) - set(before) == {SIGNATURE}
    assert all(after[name] == content for name, content in before.items())
    load(fresh_bundle, keys / "ours.pub.pem")


def forged(path: Path) -> None:
    """Change the calibration and make all hashes right again, as whoever writes the store can."""
    document = json.loads((path / "bundle.json").read_bytes())
    document["calibration"]["scores"][-1] += 1
    document["sha256"] = schema.digest(document)
    (path / "bundle.json").write_text(json.dumps(document))


def nonsense(path: Path) -> None:
    (path / SIGNATURE).write_bytes(b"\xff")


def other_bits(path: Path) -> None:
    text = (path / SIGNATURE).read_text()
    start = text.index("signature") + 20
    (path / SIGNATURE).write_text(
        text[:start] + text[start : start + 8].swapcase() + text[start + 8 :]
    )


@pytest.mark.parametrize("change", [forged, nonsense, other_bits])
def test_what_was_changed_is_refused(
    signed: Path, trusted: Path, change: Callable[[Path], None]
) -> None:
    change(signed)
    with pytest.raises(BundleUntrusted):
        load(signed, trusted)


def test_the_card_is_covered(signed: Path, trusted: Path) -> None:
    with (signed / "MODEL_CARD.md").open("a") as file:
        file.write("Approved for everything.")
    with pytest.raises(BundleDamaged, match="MODEL_CARD"):
        load(signed, trusted)


@pytest.mark.parametrize("place", ["tiny/2", "other/1"])
def test_another_name_or_version_is_another_bundle(signed: Path, trusted: Path, place: str) -> None:
    moved = signed.parents[1] / place
    moved.parent.mkdir(exist_ok=True)
    signed.rename(moved)
    with pytest.raises(BundleUntrusted, match=f"than {place}"):
        load(moved, trusted)


def test_the_signature_of_another_bundle(signed: Path, trusted: Path, trained: Path) -> None:
    copied = signed.parents[1] / "chest" / "1"
    shutil.copytree(trained, copied)
    with pytest.raises(BundleUnsigned):
        load(copied, trusted)
    shutil.copy(signed / SIGNATURE, copied)
    with pytest.raises(BundleUntrusted):
        load(copied, trusted)


def test_a_key_that_is_not_trusted(fresh_bundle: Path, keys: Path, trusted: Path) -> None:
    run_cli("bundle", "sign", fresh_bundle, "--key", keys / "theirs.pem")
    with pytest.raises(BundleUntrusted, match="not trusted"):
        load(fresh_bundle, trusted)


def test_commands_refuse(
    fresh_bundle: Path, keys: Path, trusted: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = next((phantoms / "normal").iterdir())
    verified = run_cli("bundle", "verify", fresh_bundle, "--key", keys / "ours.pub.pem")
    one_line_error(verified, 4, "bundle_unsigned")
    monkeypatch.setenv("WSCXR_TRUSTED_KEYS", f"{trusted},{keys / 'theirs.pub.pem'}")
    one_line_error(run_cli("predict", fresh_bundle, image), 4, "bundle_unsigned")
    run_cli("bundle", "sign", fresh_bundle, "--key", keys / "theirs.pem")
    assert run_cli("predict", fresh_bundle, image).code == 0


def test_a_damaged_bundle_is_not_signed(fresh_bundle: Path, keys: Path) -> None:
    (fresh_bundle / "MODEL_CARD.md").write_text("another")
    ran = run_cli("bundle", "sign", fresh_bundle, "--key", keys / "ours.pem")
    one_line_error(ran, 4, "bundle_damaged")
    assert not (fresh_bundle / SIGNATURE).exists()


def test_a_new_key(tmp_path: Path) -> None:
    ran = run_cli("bundle", "new-key", tmp_path / "key.pem")
    assert ran.out.strip() == str(tmp_path / "key.pub.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    one_line_error(run_cli("bundle", "new-key", tmp_path / "key.pem"), 2, "invalid_config")


@pytest.mark.usefixtures("keys")
def test_files_that_are_no_keys(tmp_path: Path, fresh_bundle: Path) -> None:
    other = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    files = {
        "nonsense.pem": b"nonsense",
        "rsa.pub.pem": other.public_key().public_bytes(
            pem, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "rsa.pem": other.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    public = ("nonsense.pem", "rsa.pub.pem", "empty", "nowhere", "keys/ours.pem")
    for name in public:
        with pytest.raises(ConfigError):
            TrustedKeys.read([tmp_path / name])
    for name in ("nonsense.pem", "rsa.pem", "nowhere", "keys/ours.pub.pem"):
        ran = run_cli("bundle", "sign", fresh_bundle, "--key", tmp_path / name)
        one_line_error(ran, 2, "invalid_config")
