"""The images of an experiment, and their features, each computed once for all its runs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track

from training.config import TrainConfig
from training.data.features import (
    FeatureSet,
    extract_features,
    lesions_of,
    lungs_of,
    preparation_of,
)
from training.data.samples import Label, Sample, patient_groups, read_rows
from training.data.splits import TrainSplit
from training.learn import Learned, learn
from wscxr.engines import Engine, Network, open_engine
from wscxr.model.backbone import build_backbone
from wscxr.model.features import feature_blueprint
from wscxr.model.weights import weights_sha256

CPU = torch.device("cpu")


def nih_samples(folder: Path) -> list[Sample]:
    """The images of NIH with sex, age band and findings as facts."""
    return [
        Sample(
            folder / row["file"],
            Label.NORMAL if row["file"].startswith("normal/") else Label.ABNORMAL,
            row["patient_id"],
            row["view"],
            {"sex": row["sex"], "age": _band(int(row["age"])), "findings": row["nih_labels"]},
        )
        for _, row in read_rows(folder / "metadata.csv", ("file", "patient_id", "age", "sex"))
    ]


def _band(age: int) -> str:
    return "below 40" if age < 40 else "40 to 59" if age < 60 else "60 and above"


class Features:
    """Features of every image that some seed needs, each computed once."""

    def __init__(self, samples: Sequence[Sample], config: TrainConfig) -> None:
        self.engine: Engine = open_engine(CPU)
        backbone = build_backbone(config.backbone_config, config.image_size)
        sha256 = weights_sha256(backbone.weights())
        self.network: Network = self.engine.prepare(
            feature_blueprint(
                config.backbone_config, config.image_size, config.p, sha256, lambda: backbone
            )
        )
        prepare = preparation_of(config, lungs_of(config), self.engine, lesions_of(config))
        paths = sorted({sample.path for sample in samples})
        self._places = {path: place for place, path in enumerate(paths)}
        self._all = extract_features(
            [Sample(path, None) for path in paths],
            self.network,
            prepare,
            track=lambda items, text, total: track(items, text, total),
        )

    def __call__(self, samples: Sequence[Sample]) -> FeatureSet:
        """The features of some images, in their order."""
        return self._all.pick([self._places[sample.path] for sample in samples])

    def learn(self, config: TrainConfig, split: TrainSplit) -> Learned:
        """What a training run with these settings learns from these images."""
        normal, aside, anomaly = map(self, (split.normal, split.calibration, split.anomaly))
        return learn(
            config,
            (normal, aside, anomaly, anomaly[:0]),
            (patient_groups(split.normal), patient_groups(split.anomaly)),
            self.network,
            self.engine,
            CPU,
        )
