"""Patch features -> a detector, its second witness, threshold and colours."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.features import FeatureSet
from training.unlabelled.fitting import fit_with_archive
from wscxr.engines import Engine, Network
from wscxr.model.calibration import Calibration
from wscxr.model.detector import Detector
from wscxr.model.lesions import LesionWitness
from wscxr.progress import Track, untracked
from wscxr.results.png import ColourScale


@dataclass(frozen=True, eq=False)
class Learned:
    """What a training run learns.

    Attributes
    ----------
    detector
        The networks with the head that was fitted.
    witness
        How the lesion network is heard; None where nobody looked for lesions.
    calibration
        Threshold and p-values, from the normals kept aside.
    colour_scale
        From the same images.
    metrics
        What was measured on the training images themselves.
    """

    detector: Detector
    witness: LesionWitness | None
    calibration: Calibration
    colour_scale: ColourScale
    metrics: dict[str, float]

    def scores(self, features: FeatureSet) -> NDArray[np.float32]:
        """Image-level scores of images, float32 of shape (N,): those that the bundle will give."""
        _, scores = _detect(self.detector, features)
        if self.witness is not None and features.lesions is not None:
            _, scores = self.witness.join(scores, features.lesions)
        return scores


def learn(
    config: TrainConfig,
    images: tuple[FeatureSet, FeatureSet, FeatureSet, FeatureSet],
    groups: tuple[Sequence[Hashable], Sequence[Hashable]],
    network: Network,
    engine: Engine,
    device: torch.device,
    *,
    track: Track = untracked,
) -> Learned:
    """Fit the head, hear the lesion network where there is one, and calibrate both together.

    Parameters
    ----------
    config
        All settings.
    images
        Normal images, normals kept aside for calibration, the K anomaly images, and unlabelled
        ones, of which there may be none.
    groups
        The patient of each normal and of each anomaly image.
    network, engine
        What made the features, and what runs it.
    device
        Where the method computes.

    Raises
    ------
    ConfigError, NotEnoughImages
        See `training.unlabelled.fitting.fit_with_archive`.
    """
    normal, calibration, anomaly, archive = images
    fit = fit_with_archive(
        config.method,
        normal.maps,
        anomaly.maps,
        archive.maps,
        groups,
        rule=config.score_rule,
        seed=config.seed,
        device=device,
        track=track,
    )
    detector = Detector(network, fit.head, config.score_rule, engine)
    maps, scores = _detect(detector, calibration)
    witness = None
    if normal.lesions is not None and calibration.lesions is not None:
        _, normal_scores = _detect(detector, normal)
        heard = LesionWitness.of(config.lesion_weight, normal_scores, normal.lesions)
        _, joint = heard.join(scores, calibration.lesions)
        threshold = Calibration.from_scores(joint, config.false_alarm_rate).threshold
        witness = heard.scaled(calibration.lesions, threshold, config.false_alarm_rate)
        maps, scores = witness.join(scores, calibration.lesions)
    return Learned(
        detector,
        witness,
        Calibration.from_scores(scores, config.false_alarm_rate),
        ColourScale.from_calibration(maps.max(axis=(1, 2)), config.false_alarm_rate),
        dict(fit.metrics),
    )


def _detect(
    detector: Detector, features: FeatureSet
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps and scores of the head alone."""
    maps, scores = detector.detect_features(features.maps)
    return maps.cpu().numpy(), scores.cpu().numpy()
