"""Small real bundles, made with the core alone: an untrained backbone, a seeded discriminator."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from tests.helpers import tiny_ood
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest, Provenance, Versions
from wscxr.imaging import InputConfig
from wscxr.model.backbone import BackboneConfig, build_backbone
from wscxr.model.calibration import Calibration
from wscxr.model.detector import Detector, ScoreRule
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.model.weights import WeightsSource, weights_sha256
from wscxr.results.png import ColourScale

SIZE = 64


def make_bundle(path: Path, *, seed: int = 0, ood_threshold: float = 1e4) -> BundleManifest:
    """Write a bundle that loads and scores in milliseconds; by default nothing is strange to it."""
    config = BackboneConfig(
        architecture="resnet18", layers=("layer2",), source=WeightsSource.RANDOM
    )
    backbone = build_backbone(config, SIZE, seed=seed)
    shape = DiscriminatorConfig(in_features=128, hidden=(16,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Discriminator(shape)
    detector = Detector(backbone, 3, discriminator, ScoreRule.MAX, torch.device("cpu"))
    ood = tiny_ood(shape.in_features, ood_threshold)
    manifest = BundleManifest(
        backbone=config,
        backbone_sha256=weights_sha256(backbone.weights()),
        input=InputConfig(size=SIZE),
        p=3,
        score_rule=ScoreRule.MAX,
        head=shape,
        ood=ood.config,
        calibration=Calibration.from_scores(np.linspace(-0.5, 0.5, 40), 0.05),
        colour_scale=ColourScale(low=0.0, high=1.0),
        training=Provenance(
            method="wscxr",
            citation="WSCXR (Ni et al., arXiv 2311.09642, 2023)",
            n_normal=100,
            n_calibration=40,
            k=4,
            seed=seed,
            config={},
            data_sha256=hashlib.sha256(b"no data").hexdigest(),
            metrics={},
            versions=Versions.current(),
        ),
        files={},
    )
    return Bundle(manifest, detector, ood).write(path)
