"""The whole training command: 500 normal and 16 abnormal images through DenseNet121 at 256 px.

Compared, in the same run, with one pass of the same images through the same backbone: the authors'
public code does that in each of 100 epochs, and again for the test images.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.common import console, run_wscxr, train_densenet
from wscxr.choices import WeightsSource
from wscxr.model.backbone import BackboneConfig, build_backbone

NORMAL, K, MANY = 500, 16, 1341
BATCH = 16


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the time and peak memory of training."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        phantoms = root / "phantoms"
        run_wscxr("phantoms", phantoms, "--normal", NORMAL, "--abnormal", K)
        job = train_densenet(phantoms, root / "bundle")
        one_pass = backbone_pass(NORMAL + K)
        console.print(
            f"training job, {NORMAL} + {K} images: {job.seconds:.1f} s, "
            f"{job.seconds / one_pass:.2f} x one pass through the backbone ({one_pass:.1f} s); "
            f"100 epochs that each make that pass: {100 * one_pass / job.seconds:.0f} x as long"
        )
        run_wscxr("phantoms", root / "many", "--normal", MANY, "--abnormal", K)
        many = train_densenet(root / "many", root / "many-bundle")
        console.print(
            f"training on {MANY} normals: {many.seconds:.1f} s, "
            f"peak memory {many.peak_bytes / 1e9:.2f} GB"
        )


def backbone_pass(images: int) -> float:
    """Seconds for that many 256 px images through DenseNet121, with nothing else."""
    config = BackboneConfig(source=WeightsSource.RANDOM)
    backbone = build_backbone(config, 256)
    batch = torch.zeros(BATCH, 3, 256, 256)
    backbone(batch)
    started = time.perf_counter()
    for _ in range(-(-images // BATCH)):
        backbone(batch)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
