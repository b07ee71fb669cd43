"""A training run: samples -> features -> head and OOD scorer -> calibration -> bundle."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from training.config import TrainConfig
from training.data.features import FeatureSet, extract_features, preparation_of
from training.data.samples import Sample, patient_groups
from training.data.splits import TrainSplit, draw_split
from training.methods.fitting import Fit, fit_maps
from training.ood import fit_ood
from wscxr.bundle.bundle import Bundle, check_embedding
from wscxr.bundle.manifest import BundleManifest, Population, Provenance, Versions
from wscxr.bundle.store import check_absent
from wscxr.choices import Align, WeightsSource
from wscxr.errors import DataError
from wscxr.model.backbone import build_backbone
from wscxr.model.calibration import Calibration
from wscxr.model.detector import Detector
from wscxr.model.weights import weights_sha256
from wscxr.progress import Track, untracked
from wscxr.results.png import ColourScale


def train(
    samples: Sequence[Sample],
    config: TrainConfig,
    out: Path,
    device: torch.device,
    *,
    embed_backbone: bool = True,
    notes: str = "",
    track: Track = untracked,
) -> BundleManifest:
    """Train a detector and write its bundle.

    Parameters
    ----------
    samples
        Normal images, and at least K abnormal ones where the method uses any.
    config
        All settings.
    out
        The bundle's folder, ``model_store/<name>/<version>``; must not exist.
    embed_backbone
        Put the backbone's weights into the bundle, so that serving needs no network.
    notes
        Markdown for the end of the model card.

    Returns
    -------
    BundleManifest
        The manifest as written.

    Raises
    ------
    BundleExists, NotEnoughImages, DataError, ConfigError, WeightsError
        See `wscxr.errors`. Nothing is written then.
    """
    check_absent(out)
    check_embedding(config.backbone_config, embed_backbone=embed_backbone)
    split = draw_split(samples, config)
    backbone = build_backbone(
        config.backbone_config, config.image_size, file=config.weights_file, seed=config.seed
    ).to(device)
    prepare = preparation_of(config)
    features = extract_features(split.samples, backbone, config.p, prepare, device, track=track)
    normal = features[: len(split.normal)]
    calibration = features[len(split.normal) : len(split.normal) + len(split.calibration)]
    anomaly = features[len(split.normal) + len(split.calibration) :]
    _check_labels_agree(normal.sha256 + calibration.sha256, anomaly.sha256)

    fit = fit_maps(
        config.method, normal.maps, anomaly.maps, seed=config.seed, device=device, track=track
    )
    detector = Detector(backbone, config.p, fit.head, config.score_rule, device)
    maps, scores = detector.detect_features(calibration.maps)
    ood = fit_ood(normal.maps, calibration.maps, anomaly.maps, patient_groups(split.anomaly))
    bundle = Bundle(
        BundleManifest(
            backbone=config.backbone_config,
            backbone_sha256=weights_sha256(backbone.weights()),
            input=prepare.config,
            align=config.align,
            p=config.p,
            score_rule=config.score_rule,
            head=fit.head.config,
            ood=ood.config,
            population=_population(config),
            calibration=Calibration.from_scores(scores.cpu().numpy(), config.false_alarm_rate),
            colour_scale=ColourScale.from_calibration(
                maps.flatten(1).amax(dim=1).cpu().numpy(), config.false_alarm_rate
            ),
            training=_provenance(split, config, features, fit),
            files={},
        ),
        detector,
        ood,
        lungs=prepare.lungs,
    )
    return bundle.write(out, embed_backbone=embed_backbone, notes=notes)


def _check_labels_agree(normal: Sequence[str], anomaly: Sequence[str]) -> None:
    if both := set(normal) & set(anomaly):
        raise DataError(f"{len(both)} images are given both as normal and as abnormal")


def _population(config: TrainConfig) -> Population | None:
    if config.min_age is None and config.max_age is None:
        return None
    return Population(min_age=config.min_age, max_age=config.max_age)


def _provenance(
    split: TrainSplit, config: TrainConfig, features: FeatureSet, fit: Fit
) -> Provenance:
    settings = config.model_dump(mode="json")
    if config.weights_file is not None:
        # Its hash identifies it; its path may hold a name and differs between machines.
        settings["weights"] = config.backbone_config.source
    if config.lungs_file is not None:
        settings["lungs"] = WeightsSource.FILE.value
    metrics = dict(fit.metrics)
    if config.align is Align.LUNGS:
        metrics["lungs_found"] = sum(features.lungs_found) / len(features.lungs_found)
    return Provenance(
        method=config.method.name,
        citation=config.method.citation,
        n_normal=len(split.normal),
        n_calibration=len(split.calibration),
        k=len(split.anomaly),
        seed=config.seed,
        config=settings,
        data_sha256=hashlib.sha256("".join(sorted(features.sha256)).encode()).hexdigest(),
        metrics=metrics,
        versions=Versions.current(),
    )
