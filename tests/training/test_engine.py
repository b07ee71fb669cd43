from pathlib import Path

import pytest

from tests.helpers import CPU, folder_content, tiny_config
from training.data.samples import load_samples
from training.train import train
from wscxr.bundle.bundle import Bundle

pytest.importorskip("openvino", reason="pip install 'wscxr[openvino]'")


@pytest.mark.parametrize("align", ["none", "lungs"])
def test_one_seed_gives_one_bundle_in_openvino_too(
    phantoms: Path, tmp_path: Path, align: str
) -> None:
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    for name in ("first", "again"):
        train(samples, tiny_config(align=align), tmp_path / name, CPU, engine="openvino")
    assert folder_content(tmp_path / "first") == folder_content(tmp_path / "again")
    loaded = Bundle.load(tmp_path / "first", CPU, "openvino")
    provenance = loaded.manifest.training
    assert provenance.engine == loaded.engine
    # Trained in OpenVINO, it passes its golden check in PyTorch.
    assert Bundle.load(tmp_path / "first", CPU, "torch").engine.name == "torch"
