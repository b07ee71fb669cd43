"""Train a detector from two folders, and measure it on two others that it never saw.

Example: python examples/train_and_evaluate.py phantoms/ unseen/ model_store/phantom/1
"""

import argparse
from pathlib import Path

import torch

import wscxr
from training.config import TrainConfig
from training.data.samples import load_samples
from training.evaluation.evaluate import evaluate
from training.train import train


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path, help="folder with normal/ and abnormal/")
    parser.add_argument("test", type=Path, help="another one, of other patients")
    parser.add_argument("bundle", type=Path, help="model_store/NAME/VERSION to write")
    parser.add_argument("-k", type=int, default=16, help="number of anomaly images")
    arguments = parser.parse_args()

    samples = load_samples(
        arguments.train / "normal", arguments.train / "abnormal", None, split="train"
    )
    train(samples, TrainConfig(k=arguments.k, seed=0), arguments.bundle, torch.device("cpu"))

    samples = load_samples(
        arguments.test / "normal", arguments.test / "abnormal", None, split="test"
    )
    found = evaluate(wscxr.load(arguments.bundle), samples)
    auroc = found.image_level.auroc
    print(f"AUROC {auroc.value:.3f} ({auroc.low:.3f} to {auroc.high:.3f})")
    # What file size, brightness and the like reach without looking at the chest.
    best = found.confounders.features[0]
    print(f"{best.feature} alone: AUROC {best.auroc:.3f}")
    for warning in found.confounders.warnings:
        print(warning)


if __name__ == "__main__":
    main()
