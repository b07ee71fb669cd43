"""What start-up says of a bundle of which one file is damaged, missing, or another bundle's."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.scoring.registry import load_bundles
from tests.helpers import tiny_bundle, tiny_detector, tiny_manifest, tiny_ood
from tests.service.serving import make_settings
from wscxr.bundle import schema
from wscxr.errors import BundleDamaged, BundleNotFound, GoldenCheckFailed

FILES = (
    "MODEL_CARD.md",
    "backbone.safetensors",
    "bundle.json",
    "discriminator.safetensors",
    "golden.json",
    "ood.safetensors",
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same shape, no file of which is the same."""
    path = tmp_path_factory.mktemp("other") / "tiny" / "1"
    detector = tiny_detector(seed=1)
    ood = tiny_ood(threshold=1)
    manifest = tiny_manifest(detector, seed=1)
    tiny_bundle(manifest, detector, ood, seed=1).write(path, notes="Another one.")
    return path


def start(bundle: Path) -> None:
    load_bundles(make_settings(bundle.parents[1]))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_both_bundles_are_sound(fresh_bundle: Path, other: Path) -> None:
    start(fresh_bundle)
    start(other)
    ours, theirs = (
        {name: (at / name).read_bytes() for name in FILES} for at in (fresh_bundle, other)
    )
    assert all(ours[name] != theirs[name] for name in FILES)


@pytest.mark.parametrize("change", [damage, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damaged_or_missing(fresh_bundle: Path, name: str, change: Callable[[Path], None]) -> None:
    change(fresh_bundle / name)
    gone = name == "bundle.json" and change is Path.unlink
    with pytest.raises(BundleNotFound if gone else BundleDamaged) as caught:
        start(fresh_bundle)
    assert name in str(caught.value)


@pytest.mark.parametrize("change", [damage, Path.unlink])
def test_the_network_that_finds_the_lungs(
    trained_aligned: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "aligned" / "1"
    shutil.copytree(trained_aligned, path)
    change(path / "lungs.safetensors")
    with pytest.raises(BundleDamaged, match=r"lungs\.safetensors"):
        start(path)


@pytest.mark.parametrize("name", FILES)
def test_swapped(fresh_bundle: Path, other: Path, name: str) -> None:
    shutil.copy(other / name, fresh_bundle / name)
    with pytest.raises(BundleDamaged, match=r"hash is wrong"):
        start(fresh_bundle)


@pytest.mark.parametrize("name", sorted({*FILES} - {"MODEL_CARD.md", "bundle.json"}))
def test_swapped_and_sealed_anew(fresh_bundle: Path, other: Path, name: str) -> None:
    """As somebody does who wants it to load; a card can be told only by a signature."""
    shutil.copy(other / name, fresh_bundle / name)
    manifest = fresh_bundle / "bundle.json"
    document = json.loads(manifest.read_bytes())
    document["files"][name] = hashlib.sha256((fresh_bundle / name).read_bytes()).hexdigest()
    document["sha256"] = schema.digest(document)
    manifest.write_text(json.dumps(document))
    with pytest.raises((BundleDamaged, GoldenCheckFailed)) as caught:
        start(fresh_bundle)
    assert "golden" in str(caught.value) or "not the backbone" in str(caught.value)
