"""Our PatchCore against anomalib's: the same images, backbone, patch features and coreset ratio.

anomalib is no dependency of this project: install it beside it, ``pip install anomalib==2.7.0``.
Its torch model is used without Lightning's engine, which only adds time, and without the blurred
full-size map that ours does not make. Both get the same model inputs; reading and decoding are
not timed. With one layer their patch features are the same; several are brought to one size
before averaging neighbourhoods here (Eq. 1-3), and after it there.
"""

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from rich.progress import track
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor, nn

from benchmarks.common import console
from training.data.images import BATCH, load_batches
from training.data.samples import Label, Sample, find_samples, patient_groups
from training.methods.settings import PatchCore
from wscxr.anatomy import Preparation
from wscxr.choices import ScoreRule, WeightsSource
from wscxr.device import resolve_device
from wscxr.engines import open_engine
from wscxr.imaging import InputConfig
from wscxr.model.backbone import Backbone, BackboneConfig, build_backbone
from wscxr.model.detector import Detector
from wscxr.model.features import feature_blueprint
from wscxr.model.patches import patch_features

ARCHITECTURE = "resnet18"
"""torchvision's and timm's versions of it name their weights alike."""

P = 3
"""anomalib's neighbourhood, which cannot be set."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Model inputs, float32 of shape (N, 3, size, size), and which test images are abnormal."""

    normal: Tensor
    test: Tensor
    abnormal: list[bool]


@dataclass(frozen=True)
class PatchCoreRun:
    """One fit: AUROC under each image score, and seconds to fit and to score the test images."""

    auroc: dict[str, float]
    fit_s: float
    score_s: float


class NoMap(nn.Module):
    """Stands in for anomalib's upsampling and blurring of the map."""

    def forward(self, patch_scores: Tensor, _size: tuple[int, int]) -> Tensor:
        """The scores as they are."""
        return patch_scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Print AUROC, and time to fit and to score, of each over several seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--normal", type=Path, required=True)
    parser.add_argument("--abnormal", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet", help="imagenet, random, or a file")
    parser.add_argument("--layers", default="layer3", help="separated by commas")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ratio", type=float, default=PatchCore().coreset_ratio)
    parser.add_argument("--train", type=int, default=200, help="normal images to fit on")
    parser.add_argument("--test", type=int, default=150, help="test images of each class")
    parser.add_argument("--patient", help="regular expression of the patient in a file name")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)

    named = {source.value: source for source in (WeightsSource.IMAGENET, WeightsSource.RANDOM)}
    config = BackboneConfig(
        architecture=ARCHITECTURE,
        layers=tuple(options.layers.split(",")),
        source=named.get(options.weights, WeightsSource.FILE),
    )
    file = None if options.weights in named else Path(options.weights)
    backbone = build_backbone(config, options.size, file=file).to(device)
    inputs = load_inputs(options)
    runs: dict[str, list[PatchCoreRun]] = {"wscxr": [], "anomalib": []}
    for seed in track(range(options.seeds), "seeds", console=console):
        runs["wscxr"].append(run_ours(backbone, inputs, options.ratio, seed))
        runs["anomalib"].append(run_anomalib(backbone, inputs, options.ratio, seed))

    console.print(
        f"{len(inputs.normal)} normal images to fit on, {inputs.abnormal.count(False)} normal and "
        f"{inputs.abnormal.count(True)} abnormal to score; {ARCHITECTURE} {options.layers} at "
        f"{options.size} px, p = {P}, coreset ratio {options.ratio}; {options.seeds} seeds"
    )
    for name, found in runs.items():
        for score in found[0].auroc:
            values = [run.auroc[score] for run in found]
            console.print(f"{name}, {score}: AUROC {np.mean(values):.4f} +- {np.std(values):.4f}")
        console.print(
            f"{name}: fit {np.mean([run.fit_s for run in found]):.2f} s, "
            f"score {np.mean([run.score_s for run in found]):.2f} s"
        )


def load_inputs(options: argparse.Namespace) -> Inputs:
    """Draw images, no patient on both sides, and make model inputs of them."""
    rng = np.random.default_rng(0)
    normal = find_samples(options.normal, Label.NORMAL)
    if options.patient:
        normal = [with_patient(sample, options.patient) for sample in normal]
    share = options.train / (options.train + options.test)
    splitter = GroupShuffleSplit(1, train_size=share, random_state=0)
    parts = [
        [normal[row] for row in rng.permutation(rows)]
        for rows in next(splitter.split(normal, groups=patient_groups(normal)))
    ]
    abnormal = find_samples(options.abnormal, Label.ABNORMAL)
    test = parts[1][: options.test]
    test += [abnormal[row] for row in rng.permutation(len(abnormal))[: options.test]]
    return Inputs(
        normal=read(parts[0][: options.train], options.size),
        test=read(test, options.size),
        abnormal=[sample.label is Label.ABNORMAL for sample in test],
    )


def with_patient(sample: Sample, pattern: str) -> Sample:
    """Read the patient from a file name."""
    match = re.search(pattern, sample.path.name)
    if match is None:
        raise ValueError("a file name carries no patient")
    return replace(sample, patient_id=match.group())


def read(samples: Sequence[Sample], size: int) -> Tensor:
    """Model inputs of images."""
    loaded = load_batches(samples, Preparation(InputConfig(size=size), None))
    return torch.stack([image.prepared.tensor for batch in loaded for image in batch])


def batches(inputs: Tensor) -> Iterator[Tensor]:
    """The inputs, as many at a time as training takes."""
    for start in range(0, len(inputs), BATCH):
        yield inputs[start : start + BATCH]


def run_ours(backbone: Backbone, inputs: Inputs, ratio: float, seed: int) -> PatchCoreRun:
    """Fit and score with `PatchCore`."""
    device = next(backbone.parameters()).device
    started = time.perf_counter()
    features = torch.cat(
        [patch_features(backbone(b.to(device)), P).cpu() for b in batches(inputs.normal)]
    ).flatten(0, 2)
    method = PatchCore(coreset_ratio=ratio)
    head = method.fit(features, features[:0], seed=seed, device=device).head
    fitted = time.perf_counter()
    engine = open_engine(device, "torch", "float32")
    network = engine.prepare(
        feature_blueprint(backbone.config, backbone.size, P, "", lambda: backbone)
    )
    detector = Detector(network, head, ScoreRule.MAX, engine)
    scores = torch.cat([detector.detect(b)[1].cpu() for b in batches(inputs.test)])
    done = time.perf_counter()
    auroc = {"maximum of the map": float(roc_auc_score(inputs.abnormal, scores))}
    return PatchCoreRun(auroc, fitted - started, done - fitted)


def run_anomalib(backbone: Backbone, inputs: Inputs, ratio: float, seed: int) -> PatchCoreRun:
    """Fit and score with anomalib's model, which holds the same weights."""
    device = next(backbone.parameters()).device
    torch.manual_seed(seed)
    model = PatchcoreModel(backbone.config.layers, ARCHITECTURE, pre_trained=False)
    trunk = model.feature_extractor.feature_extractor
    own = trunk.state_dict()
    trunk.load_state_dict({key: value for key, value in backbone.weights().items() if key in own})
    model.anomaly_map_generator = NoMap()
    model.to(device)

    @torch.no_grad()
    def score() -> list[float]:
        model.eval()
        found = [model(batch.to(device)).pred_score for batch in batches(inputs.test)]
        return [float(value) for value in torch.cat(found)]

    started = time.perf_counter()
    model.train()
    # In training mode of the whole, its backbone stays in evaluation mode.
    for batch in batches(inputs.normal):
        model(batch.to(device))
    model.subsample_embedding(ratio)
    fitted = time.perf_counter()
    reweighted = score()
    done = time.perf_counter()
    model.num_neighbors = 1
    auroc = {
        "reweighted (eq. 7)": float(roc_auc_score(inputs.abnormal, reweighted)),
        "maximum of the map": float(roc_auc_score(inputs.abnormal, score())),
    }
    return PatchCoreRun(auroc, fitted - started, done - fitted)


if __name__ == "__main__":
    main()
