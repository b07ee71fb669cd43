"""Why mining pays or not: where it finds its features, and how much the rest of the image tells.

Lesions lie in the lungs; borders, arms, markers and collimation lie in the outer frame. Mining
(Eq. 4-5) keeps what is farthest from the normal set. Where the frame alone tells the classes apart,
they differ in more than lesions, and what mining throws away is not normal at all.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from sklearn.metrics import roc_auc_score

from benchmarks.common import console
from training.config import resolve_config
from training.data.features import extract_features
from training.data.samples import Label
from training.data.splits import draw_split
from training.methods.settings import Wscxr
from training.paper.dataset import read_table_data
from wscxr.anatomy import Preparation
from wscxr.device import resolve_device
from wscxr.engines import open_engine
from wscxr.imaging import InputConfig
from wscxr.model.backbone import build_backbone
from wscxr.model.features import feature_blueprint
from wscxr.model.mining import mine, nearest_normal_distance

DRAWS = 3
FRAME = 0.125
"""Width of the frame as a part of the map's side."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where mined features lie, and the AUROC of the frame and of the middle alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="as for `wscxr reproduce`")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    config = resolve_config(
        None, {"backbone": options.backbone, "weights": options.weights}, "paper"
    )
    backbone = build_backbone(config.backbone_config, config.image_size, file=config.weights_file)
    network = open_engine(device).prepare(
        feature_blueprint(backbone.config, config.image_size, config.p, "", lambda: backbone)
    )
    data = read_table_data(options.data)
    abnormal = [sample.label is Label.ABNORMAL for sample in data.test]
    shares: list[float] = []
    areas: dict[str, list[float]] = {"frame": [], "middle": []}
    for seed in range(DRAWS):
        split = draw_split(data.pool, config.model_copy(update={"seed": seed}))
        normal, anomaly, test = (
            extract_features(
                part,
                network,
                Preparation(InputConfig(size=config.image_size, intensity=config.intensity), None),
                track=lambda items, what, total: track(items, what, total),
            )
            for part in (split.normal, split.anomaly, data.test)
        )
        rows, columns = anomaly.maps.shape[1:3]
        width = round(FRAME * rows)
        frame = torch.ones(rows, columns, dtype=torch.bool)
        frame[width:-width, width:-width] = False
        distance = nearest_normal_distance(
            anomaly.maps.flatten(0, 2).to(device), normal.maps.flatten(0, 2)
        )
        places = mine(distance.cpu(), Wscxr().r) % (rows * columns)
        shares.append(float(frame.flatten()[places].float().mean()))
        for name, part in (("frame", frame), ("middle", ~frame)):
            sets = (features.maps[:, part].flatten(0, 1) for features in (normal, anomaly))
            head = Wscxr(mining=False).fit(*sets, seed=seed, device=device).head
            with torch.no_grad():
                scores = head(test.maps[:, part].to(device)).amax(dim=1).cpu()
            areas[name].append(float(roc_auc_score(abnormal, scores)))
    for name, found in areas.items():
        console.print(f"{name} alone, without mining: AUROC {np.mean(found):.3f}")
    console.print(
        f"mined features in the outer frame: {np.mean(shares):.1%} ({DRAWS} draws: "
        f"{', '.join(f'{share:.1%}' for share in shares)}); the frame is "
        f"{float(frame.float().mean()):.1%} of the map"
    )


if __name__ == "__main__":
    main()
