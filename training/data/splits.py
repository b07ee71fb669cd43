"""The draw of a run: the K anomaly images, and the normals kept aside for calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from training.config import TrainConfig
from training.data.samples import Label, Sample, patient_groups, with_label
from wscxr.errors import NotEnoughImages


@dataclass(frozen=True)
class TrainSplit:
    """The images of one training run.

    Attributes
    ----------
    normal
        Normal images the discriminator is trained on.
    calibration
        Normal images kept aside; no patient of theirs is in `normal` or `anomaly`.
    anomaly
        The K anomaly images.
    """

    normal: list[Sample]
    calibration: list[Sample]
    anomaly: list[Sample]

    @property
    def samples(self) -> list[Sample]:
        """All of them: normal, calibration, anomaly."""
        return [*self.normal, *self.calibration, *self.anomaly]


def draw_split(samples: Sequence[Sample], config: TrainConfig) -> TrainSplit:
    """Draw a training run's images by its seed.

    At least as many patients are kept aside as the false-alarm rate needs, ceil(1 / rate) - 1,
    but never more than half of them. No patient of an anomaly image is among them.

    Raises
    ------
    NotEnoughImages
        Fewer than K anomaly images, or fewer than two normal patients that have none of them.
    """
    normal = with_label(samples, Label.NORMAL)
    abnormal = with_label(samples, Label.ABNORMAL)
    if len(abnormal) < config.k:
        raise NotEnoughImages(
            f"K = {config.k} anomaly images were asked for, but there are {len(abnormal)}"
        )
    chosen = np.random.default_rng(config.seed).choice(len(abnormal), config.k, replace=False)
    anomaly = [abnormal[i] for i in np.sort(chosen)]
    seen = {sample.patient_id for sample in anomaly} - {None}
    related = [sample for sample in normal if sample.patient_id in seen]
    normal = [sample for sample in normal if sample.patient_id not in seen]
    groups = patient_groups(normal)
    n_groups = len(set(groups))
    if n_groups < 2:
        raise NotEnoughImages("calibration needs normal images of at least two patients")
    needed = math.ceil(1 / config.false_alarm_rate - 1e-9) - 1
    aside = max(round(config.calibration_fraction * n_groups), needed, 1)
    splitter = GroupShuffleSplit(
        n_splits=1, test_size=min(aside, n_groups // 2), random_state=config.seed
    )
    fit, kept = next(splitter.split(groups, groups=groups))
    return TrainSplit(
        normal=[normal[i] for i in fit] + related,
        calibration=[normal[i] for i in kept],
        anomaly=anomaly,
    )
