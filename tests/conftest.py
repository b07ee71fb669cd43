"""Fixtures that several test files share; the costly ones are made once per run."""

from pathlib import Path

import pytest

from tests.helpers import CPU, tiny_config, tiny_detector, tiny_manifest
from training.phantoms import write_phantoms
from training.samples import load_samples
from training.train import train
from wscxr.bundle import Bundle, write_bundle


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 normal and 6 abnormal phantoms of 64 px; read only."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, normal=24, abnormal=6, size=64, seed=0)
    return folder


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 5 normal and 4 abnormal phantoms of other patients; read only."""
    folder = tmp_path_factory.mktemp("unseen")
    write_phantoms(folder, normal=5, abnormal=4, size=64, seed=1)
    return folder


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle really trained on `phantoms`, with `tiny_config`; read only."""
    out = tmp_path_factory.mktemp("model_store") / "chest" / "1"
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    train(samples, tiny_config(), out, CPU)
    return out


@pytest.fixture(scope="session")
def trained_bundle(trained: Path) -> Bundle:
    """`trained`, loaded; never changed by a test."""
    return Bundle.load(trained, CPU)


@pytest.fixture
def fresh_bundle(tmp_path: Path) -> Path:
    """An untrained bundle that a test may damage."""
    path = tmp_path / "store" / "tiny" / "1"
    detector = tiny_detector()
    write_bundle(path, tiny_manifest(detector), detector, embed_backbone=True)
    return path
