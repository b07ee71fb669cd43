"""Where mining finds its anomaly features: how many of them lie in the outermost frame of the map.

Lesions lie in the lungs; borders, arms, markers and collimation lie in the frame. What mining keeps
(Eq. 4-5) is what is farthest from the normal set, whatever it is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from benchmarks.common import console
from training.config import resolve_config
from training.features import extract_features
from training.reproduce.dataset import read_table_data
from training.splits import draw_split
from training.wscxr_method import Wscxr
from wscxr.backbone import build_backbone
from wscxr.device import resolve_device
from wscxr.imaging import InputConfig
from wscxr.mining import mine, nearest_normal_distance

DRAWS = 3
FRAME = 0.125
"""Width of the frame as a part of the map's side."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the share of mined features in the frame, beside the frame's share of the map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="as for `wscxr reproduce`")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    config = resolve_config(None, {"backbone": options.backbone, "weights": options.weights})
    backbone = build_backbone(
        config.backbone_config, config.image_size, file=config.weights_file
    ).to(device)
    pool = read_table_data(options.data).pool
    shares = []
    for seed in range(DRAWS):
        split = draw_split(pool, config.model_copy(update={"seed": seed}))
        normal, anomaly = (
            extract_features(
                part,
                backbone,
                config.p,
                InputConfig(size=config.image_size, intensity=config.intensity),
                device,
                track=lambda items, what, total: track(items, what, total),
            )
            for part in (split.normal, split.anomaly)
        )
        rows, columns = anomaly.maps.shape[1:3]
        width = round(FRAME * rows)
        frame = torch.ones(rows, columns, dtype=torch.bool)
        frame[width:-width, width:-width] = False
        distance = nearest_normal_distance(anomaly.patches.to(device), normal.patches)
        places = mine(distance.cpu(), Wscxr().r) % (rows * columns)
        shares.append(float(frame.flatten()[places].float().mean()))
    console.print(
        f"mined features in the outer frame: {np.mean(shares):.1%} ({DRAWS} draws: "
        f"{', '.join(f'{share:.1%}' for share in shares)}); the frame is "
        f"{float(frame.float().mean()):.1%} of the map"
    )


if __name__ == "__main__":
    main()
