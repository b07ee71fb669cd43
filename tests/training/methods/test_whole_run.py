"""The methods that learn from normal images alone, from files to a bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.helpers import CPU, folder_content
from training.config import TrainConfig
from training.data.images import open_radiograph
from training.data.samples import Label, find_samples
from training.train import train
from wscxr.bundle.bundle import Bundle

SMALL = {
    "backbone": "resnet18",
    "layers": ["layer1"],
    "weights": "random",
    "image_size": 64,
    "p": 3,
}
PATCHCORE = {"method": "patchcore", "coreset_ratio": 0.05}
SIMPLENET = {
    "method": "simplenet",
    "steps": 200,
    "batch_size": 128,
    "adaptor_learning_rate": 1e-3,
    "learning_rate": 1e-3,
}


@pytest.mark.parametrize(
    ("settings", "least_auroc"),
    [(PATCHCORE, 0.75), (SIMPLENET, 0.65)],
    ids=["patchcore", "simplenet"],
)
def test_normal_images_alone_make_a_bundle_that_finds_abnormal_ones(
    settings: dict[str, Any], least_auroc: float, phantoms: Path, unseen: Path, tmp_path: Path
) -> None:
    normal = find_samples(phantoms / "normal", Label.NORMAL)
    config = TrainConfig.model_validate(SMALL | settings)
    for name in ("one", "two"):
        manifest = train(normal, config, tmp_path / name, CPU)
    assert folder_content(tmp_path / "one") == folder_content(tmp_path / "two")
    assert (manifest.training.k, manifest.training.method) == (0, settings["method"])
    bundle = Bundle.load(tmp_path / "one", CPU)

    def maps(kind: str) -> NDArray[np.float32]:
        paths = sorted((unseen / kind).glob("*.png"))
        found = bundle.predict([open_radiograph(path)[0] for path in paths])
        return np.stack([prediction.anomaly_map for prediction in found])

    abnormal = maps("abnormal")
    side = abnormal.shape[1:]
    masks = [
        np.asarray(Image.open(path).resize(side, Image.Resampling.BOX)) > 127
        for path in sorted((unseen / "masks").glob("*.png"))
    ]
    assert roc_auc_score(np.ravel(masks), abnormal.ravel()) > least_auroc
    assert abnormal.max(axis=(1, 2)).mean() > maps("normal").max(axis=(1, 2)).mean()
