"""A training run: samples -> features -> head and OOD scorer -> calibration -> bundle."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.features import (
    FeatureSet,
    extract_features,
    lesions_of,
    lungs_of,
    preparation_of,
)
from training.data.samples import Sample, patient_groups
from training.data.splits import TrainSplit, draw_split
from training.learn import learn
from training.ood import fit_ood, score_ood
from wscxr.bundle.bundle import Bundle, check_embedding
from wscxr.bundle.manifest import BundleManifest, Population, Provenance, Versions
from wscxr.bundle.networks import TrainedNetworks
from wscxr.bundle.reference import Reference
from wscxr.bundle.store import check_absent
from wscxr.choices import Align, WeightsSource
from wscxr.engines import EngineIdentity, open_engine
from wscxr.errors import ConfigError, DataError
from wscxr.model.backbone import build_backbone
from wscxr.model.features import feature_blueprint
from wscxr.model.ood import OodScorer
from wscxr.model.weights import weights_sha256
from wscxr.progress import Track, untracked


def train(
    samples: Sequence[Sample] | TrainSplit,
    config: TrainConfig,
    out: Path,
    device: torch.device,
    *,
    engine: str = "auto",
    precision: str = "auto",
    embed_backbone: bool = True,
    notes: str = "",
    unlabelled: Sequence[Path] = (),
    metrics: Mapping[str, float] = MappingProxyType({}),
    track: Track = untracked,
) -> BundleManifest:
    """Train a detector and write its bundle.

    Parameters
    ----------
    samples
        Normal images, and at least K abnormal ones where the method uses any, from which the seed
        draws; or a split that is drawn already.
    config
        All settings.
    out
        The bundle's folder, ``model_store/<name>/<version>``; must not exist.
    device
        Where networks and methods compute.
    engine, precision
        What runs the networks; see `wscxr.engines.open_engine`. The bundle's provenance names it.
    embed_backbone
        Put the backbone's weights into the bundle, so that serving needs no network.
    notes
        Markdown for the end of the model card.
    unlabelled
        Image files nobody has labelled: those that detectors trained on the others agree to be
        abnormal join the K, see `training.unlabelled`. Copies of labelled images are left out.
    metrics
        Further figures for the bundle's provenance.

    Returns
    -------
    BundleManifest
        The manifest as written.

    Raises
    ------
    BundleExists, NotEnoughImages, DataError, ConfigError, WeightsError, EngineUnavailable
        See `wscxr.errors`. Nothing is written then.
    """
    check_absent(out)
    check_embedding(config.backbone_config, embed_backbone=embed_backbone)
    if unlabelled and not config.method.uses_anomalies:
        raise ConfigError(
            f"{config.method.name} learns from no anomaly images, and so from none "
            "that are unlabelled"
        )
    split = samples if isinstance(samples, TrainSplit) else draw_split(samples, config)
    runner = open_engine(device, engine, precision)
    backbone = build_backbone(
        config.backbone_config, config.image_size, file=config.weights_file, seed=config.seed
    )
    sha256 = weights_sha256(backbone.weights())
    network = runner.prepare(
        feature_blueprint(
            config.backbone_config, config.image_size, config.p, sha256, lambda: backbone
        )
    )
    lungs = lungs_of(config)
    lesions = lesions_of(config)
    prepare = preparation_of(config, lungs, runner, lesions)
    images = [*split.samples, *(Sample(path, label=None) for path in unlabelled)]
    features = extract_features(images, network, prepare, track=track)
    ends = np.cumsum([len(split.normal), len(split.calibration), len(split.anomaly)])
    normal, calibration, anomaly, archive = (
        features[start:end] for start, end in pairwise([0, *ends.tolist(), len(images)])
    )
    _check_labels_agree(normal.sha256 + calibration.sha256, anomaly.sha256)

    known = set(features.sha256[: ends[-1]])
    fresh = [place for place, seen in enumerate(archive.sha256) if seen not in known]
    learned = learn(
        config,
        (normal, calibration, anomaly, archive.pick(fresh)),
        (patient_groups(split.normal), patient_groups(split.anomaly)),
        network,
        runner,
        device,
        track=track,
    )
    ood = fit_ood(normal.maps, calibration.maps, anomaly.maps, patient_groups(split.anomaly))
    bundle = Bundle(
        BundleManifest(
            backbone=config.backbone_config,
            backbone_sha256=sha256,
            input=prepare.config,
            align=config.align,
            p=config.p,
            score_rule=config.score_rule,
            head=learned.detector.head.config,
            lesions=learned.witness,
            ood=ood.config,
            population=_population(config),
            calibration=learned.calibration,
            reference=Reference.of(
                learned.scores(calibration) <= learned.calibration.threshold,
                _ood_scores(ood, calibration, config),
                calibration.statistics,
            ),
            colour_scale=learned.colour_scale,
            training=_provenance(
                split, config, features, {**learned.metrics, **metrics}, runner.identity
            ),
            files={},
        ),
        learned.detector,
        ood,
        networks=lambda: TrainedNetworks(backbone, lungs, lesions),
        lungs=prepare.lungs,
        lesions=prepare.lesions,
    )
    return bundle.write(out, embed_backbone=embed_backbone, notes=notes)


def _ood_scores(ood: OodScorer, features: FeatureSet, config: TrainConfig) -> NDArray[np.float32]:
    """OOD scores as the bundle will give them, which adds 1 where it finds no lungs."""
    scores = score_ood(ood, features.maps)
    return scores if config.align is Align.NONE else scores + ~np.array(features.lungs_found)


def _check_labels_agree(normal: Sequence[str], anomaly: Sequence[str]) -> None:
    if both := set(normal) & set(anomaly):
        raise DataError(f"{len(both)} images are given both as normal and as abnormal")


def _population(config: TrainConfig) -> Population | None:
    if config.min_age is None and config.max_age is None:
        return None
    return Population(min_age=config.min_age, max_age=config.max_age)


def _provenance(
    split: TrainSplit,
    config: TrainConfig,
    features: FeatureSet,
    measured: Mapping[str, float],
    engine: EngineIdentity,
) -> Provenance:
    settings = config.model_dump(mode="json")
    if config.weights_file is not None:
        # Its hash identifies it; its path may hold a name and differs between machines.
        settings["weights"] = config.backbone_config.source
    if config.lungs_file is not None:
        settings["lungs"] = WeightsSource.FILE.value
    if config.lesions_file is not None:
        settings["lesions"] = WeightsSource.FILE.value
    found = dict(measured)
    if config.align is Align.LUNGS:
        found["lungs_found"] = sum(features.lungs_found) / len(features.lungs_found)
    return Provenance(
        method=config.method.name,
        citation=config.method.citation,
        n_normal=len(split.normal),
        n_calibration=len(split.calibration),
        k=len(split.anomaly),
        seed=config.seed,
        config=settings,
        data_sha256=hashlib.sha256("".join(sorted(features.sha256)).encode()).hexdigest(),
        metrics=found,
        engine=engine,
        versions=Versions.current(),
    )
