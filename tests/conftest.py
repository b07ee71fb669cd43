"""Fixtures that several test files share; the costly ones are made once per run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

from tests.helpers import CPU, tiny_bundle, tiny_config, tiny_detector, tiny_manifest, tiny_ood
from training.data.samples import load_samples
from training.phantoms import write_phantoms
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.choices import EngineName
from wscxr.engines import choose

# How long an example takes says something of what else the machine does.
settings.register_profile(
    "shared machine", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("shared machine")


@pytest.fixture(scope="session", autouse=True)
def openvino_by_name() -> Iterator[None]:
    """Inside the test process ``auto`` is PyTorch, which needs no compiling of tiny networks.

    Tests of OpenVINO ask for it by name, and processes that tests start take it by themselves.
    """
    with mock.patch.object(choose, "auto_engine", return_value=EngineName.TORCH):
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real X-rays; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("WSCXR_TEST_DATA")
    if folder is None:
        pytest.skip("WSCXR_TEST_DATA names no folder of real X-rays: see CONTRIBUTING")
    return Path(folder)


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
def trained_aligned(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `trained`, but it looks at the box around both lung fields; read only."""
    out = tmp_path_factory.mktemp("aligned_store") / "aligned" / "1"
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    train(samples, tiny_config(align="lungs"), out, CPU)
    return out


@pytest.fixture(scope="session")
def trained_with_lesions(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `trained_aligned`, but the lesion network that ships is a second witness; read only."""
    out = tmp_path_factory.mktemp("lesions_store") / "lesions" / "1"
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    train(samples, tiny_config(align="lungs", lesions="cxr"), out, CPU)
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
    tiny_bundle(tiny_manifest(detector), detector, tiny_ood()).write(path)
    return path


@pytest.fixture(scope="session")
def zhanglab(phantoms: Path, unseen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as ZhangLab's training part: 29 normal phantoms, and 10 of five other patients."""
    folder = tmp_path_factory.mktemp("zhanglab")
    (folder / "normal").mkdir()
    (folder / "pneumonia").mkdir()
    number = 0
    for source in (phantoms, unseen):
        for path in sorted((source / "normal").iterdir()):
            shutil.copy(path, folder / "normal" / f"IM-{number:04d}-0001.png")
            number += 1
    number = 0
    for source in (phantoms, unseen):
        for path in sorted((source / "abnormal").iterdir()):
            name = f"person{number // 2}_virus_{number}.png"
            shutil.copy(path, folder / "pneumonia" / name)
            number += 1
    return folder
