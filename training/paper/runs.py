"""The runs of a table: each once, one after another, on features that are computed once for all."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import TrainConfig
from training.data.features import extract_features, lesions_of, lungs_of, preparation_of
from training.data.images import load_batches
from training.data.samples import Label, Sample, patient_groups
from training.data.splits import TrainSplit, draw_split
from training.methods.settings import Method
from training.paper.dataset import TableData
from training.paper.network import ImageScorer, PictureMethod
from training.paper.protocols import Record, RecordStore, Snapshot, judge
from training.paper.rows import Row
from training.unlabelled.fitting import fit_with_archive
from wscxr import __version__, engines
from wscxr.anatomy import Preparation
from wscxr.choices import EngineName, Precision
from wscxr.device import computing_threads
from wscxr.engines import open_engine
from wscxr.imaging import InputConfig
from wscxr.model.backbone import Backbone, build_backbone
from wscxr.model.detector import Detector
from wscxr.model.features import feature_blueprint
from wscxr.model.heads import Head
from wscxr.model.lesions import LesionWitness
from wscxr.model.weights import weights_sha256
from wscxr.progress import Track, untracked

_SCORED_TOGETHER = 32
"""Images that a network scores in one batch."""


@dataclass(frozen=True)
class Run:
    """One run to do: a row of the table, K, and the draw, which is also the seed."""

    row: Row
    k: int
    draw: int


class Runner:
    """Does the runs of a table, or takes them up from a former time.

    Parameters
    ----------
    data
        The images.
    config
        Backbone, model input, score rule and calibration of every row; its method, K and seed
        are replaced by each run's own.
    store
        Where records are kept.
    """

    def __init__(
        self,
        data: TableData,
        config: TrainConfig,
        store: RecordStore,
        device: torch.device,
        track: Track = untracked,
    ) -> None:
        self._data = data
        self._config = config
        self._store = store
        self._device = device
        self._track = track
        self._abnormal = np.array([sample.label is Label.ABNORMAL for sample in data.test])
        # Tables are PyTorch's, in float32, whatever else is installed.
        self._engine = open_engine(device, EngineName.TORCH, Precision.FLOAT32)
        self._lungs = lungs_of(config)
        self._lesions = lesions_of(config)
        self._prepare = preparation_of(config, self._lungs, self._engine, self._lesions)
        self._identity = [
            [s.path.name, s.label, s.patient_id, s.path.stat().st_size]
            for s in (*data.pool, *data.test)
        ]

    @cached_property
    def _backbone(self) -> Backbone:
        """Only built where a method needs it: networks of their own do not."""
        config = self._config
        return build_backbone(
            config.backbone_config, config.image_size, file=config.weights_file, seed=config.seed
        )

    @cached_property
    def _network(self) -> engines.Network:
        """Makes the patch features."""
        config = self._config
        return self._engine.prepare(
            feature_blueprint(
                config.backbone_config,
                config.image_size,
                config.p,
                self._weights_sha256,
                lambda: self._backbone,
            )
        )

    @cached_property
    def _weights_sha256(self) -> str:
        return weights_sha256(self._backbone.weights())

    def run_all(self, runs: Sequence[Run]) -> list[Record]:
        """Do every run that has no record yet.

        Returns
        -------
        list of Record
            In the order of the runs.

        Raises
        ------
        DataError
            A record is damaged or of another table, or an image cannot be read.
        ConfigError, NotEnoughImages
            See `wscxr.errors`.
        """
        missing = [run for run in runs if self._read(run) is None]
        maps, lesions = self._features(
            [run for run in missing if isinstance(run.row.method, Method)]
        )
        pictures: dict[int, Gather] = {}
        for run in self._track(missing, "runs", len(missing)):
            method = run.row.method
            started = time.perf_counter()
            if isinstance(method, Method):
                snapshots = self._train_method(run, method, maps, lesions)
            else:
                if method.size not in pictures:
                    pictures[method.size] = self._pictures(missing, method.size)
                snapshots = self._train_network(run, method, pictures[method.size])
            self._record(run, snapshots, time.perf_counter() - started)
        return [record for run in runs if (record := self._read(run)) is not None]

    def _record(self, run: Run, snapshots: Sequence[Snapshot], seconds: float) -> None:
        honest, paper = judge(snapshots, self._abnormal, self._config.false_alarm_rate)
        record = Record(
            row=run.row.name,
            k=run.k,
            draw=run.draw,
            fingerprint=self._fingerprint(run),
            honest=honest,
            paper=paper,
            scores=tuple(snapshots[-1].test.tolist()),
            seconds=seconds,
        )
        self._store.write(record)

    def _train_method(
        self, run: Run, method: Method, maps: "Gather", lesions: "Gather | None"
    ) -> list[Snapshot]:
        split = self._split(run)
        judged = (split.calibration, self._data.test)
        snapshots: list[Snapshot] = []
        threads = torch.get_num_threads()

        def look(head: Head) -> None:
            detector = Detector(self._network, head, self._config.score_rule, self._engine)

            def scores_of(samples: Sequence[Sample]) -> NDArray[np.float32]:
                with computing_threads(threads):
                    return detector.detect_features(maps(samples))[1].cpu().numpy()

            scores = [scores_of(samples) for samples in judged]
            if run.row.witness and lesions is not None:
                witness = LesionWitness.of(
                    self._config.lesion_weight,
                    scores_of(split.normal),
                    lesions(split.normal).numpy(),
                )
                scores = [
                    witness.join(own, lesions(samples).numpy())[1]
                    for own, samples in zip(scores, judged, strict=True)
                ]
            snapshots.append(Snapshot(*scores))

        fit_with_archive(
            method,
            maps(split.normal),
            maps(split.anomaly),
            maps(self._archive(run, split)),
            (patient_groups(split.normal), patient_groups(split.anomaly)),
            rule=self._config.score_rule,
            seed=run.draw,
            device=self._device,
            on_checkpoint=look,
        )
        return snapshots

    def _train_network(
        self, run: Run, network: PictureMethod, pictures: "Gather"
    ) -> list[Snapshot]:
        split = self._split(run)
        normal, anomaly, *judged = map(
            pictures, (split.normal, split.anomaly, split.calibration, self._data.test)
        )
        snapshots: list[Snapshot] = []

        def look(scorer: ImageScorer) -> None:
            scores = [
                torch.cat([scorer(part) for part in torch.split(images, _SCORED_TOGETHER)]).numpy()
                for images in judged
            ]
            snapshots.append(Snapshot(*scores))

        network.fit(
            normal,
            anomaly,
            seed=run.draw,
            device=self._device,
            track=self._track,
            on_checkpoint=look,
        )
        return snapshots

    def _split(self, run: Run) -> TrainSplit:
        """The very images that ``wscxr train`` with this K and seed would take from the pool."""
        changes = {"k": run.k, "seed": run.draw}
        return draw_split(self._data.pool, self._config.model_copy(update=changes))

    def _archive(self, run: Run, split: TrainSplit) -> list[Sample]:
        """The unlabelled images that a run learns from, mostly none."""
        share = run.row.archive
        return [] if share is None else self._data.archive(split, share, run.draw)

    def _features(self, runs: Sequence[Run]) -> tuple["Gather", "Gather | None"]:
        """Patch features and lesion maps of every image that some run needs, each made once."""
        samples = self._needed(runs)
        if not samples:
            return _gather([], torch.empty(0)), None
        features = extract_features(samples, self._network, self._prepare, track=self._track)
        lesions = features.lesions
        return _gather(samples, features.maps), (
            None if lesions is None else _gather(samples, torch.from_numpy(lesions))
        )

    def _pictures(self, runs: Sequence[Run], size: int) -> "Gather":
        """Grey images of one size, in [0, 1], of every image that some run needs."""
        samples = self._needed(runs)
        config = InputConfig(
            size=size, intensity=self._config.intensity, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        batches = load_batches(samples, Preparation(config, self._prepare.lungs), self._track)
        images = torch.stack([image.prepared.tensor[:1] for batch in batches for image in batch])
        return _gather(samples, images)

    def _needed(self, runs: Sequence[Run]) -> list[Sample]:
        if not runs:
            return []
        chosen = {sample.path: sample for sample in self._data.test}
        for run in runs:
            split = self._split(run)
            used = (*split.samples, *self._archive(run, split))
            chosen.update((sample.path, sample) for sample in used)
        return [chosen[path] for path in sorted(chosen)]

    def _read(self, run: Run) -> Record | None:
        return self._store.read(run.row.name, run.k, run.draw, self._fingerprint(run))

    def _fingerprint(self, run: Run) -> str:
        """Hash of everything a record depends on."""
        content: dict[str, object] = {
            "version": __version__,
            "images": self._identity,
            "settings": self._config.model_dump(
                mode="json",
                exclude={"weights", "lungs", "lesions", "lesion_weight", "method"},
            ),
            "method": run.row.method.model_dump(mode="json"),
        }
        if run.row.archive is not None:
            content["archive"] = run.row.archive
        if self._lungs is not None:
            content["lungs"] = weights_sha256(self._lungs.state_dict())
        if self._lesions is not None and run.row.witness:
            sha256 = weights_sha256(self._lesions.state_dict())
            content["lesions"] = [sha256, self._config.lesion_weight]
        if isinstance(run.row.method, Method):
            content["weights"] = self._weights_sha256
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


Gather = Callable[[Sequence[Sample]], Tensor]
"""Samples -> their rows of a tensor, in the order asked for."""


def _gather(samples: Sequence[Sample], rows: Tensor) -> Gather:
    numbers = {sample.path: number for number, sample in enumerate(samples)}
    return lambda chosen: rows[[numbers[sample.path] for sample in chosen]]
