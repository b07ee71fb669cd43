"""The Prometheus metrics of the service."""

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from wscxr.bundle.identity import ModelIdentity

if TYPE_CHECKING:
    # They import PyTorch, which must come after `configure_process`.
    from wscxr.model.calibration import Calibration
    from wscxr.prediction import Prediction

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_P_VALUES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_RELATIVE_SCORES = (-2, -1, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5)
_OOD_SCORES = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 3, 5)


class Metrics:
    """All metrics of one app, in a registry of their own.

    Attributes
    ----------
    requests
        Answered requests by method, route template, status and outcome (``ok`` or error code).
    images
        Images by model and outcome, those of batch requests one by one.
    out_of_distribution
        Scored images that are unlike the training images, by model.
    p_value, relative_score, ood_score
        What models say of the images they answer, by model.
    decode, queue, encode
        Seconds an image spends in each stage, by model.
    inference
        Seconds a batch takes, by model.
    batch_size
        Images computed at once, by model.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._shared = None if folder is None else Path(folder)
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "wscxr_requests",
            "Answered requests; outcome is ok or the error code.",
            ["method", "route", "status", "outcome"],
            registry=self._registry,
        )
        self.images = Counter(
            "wscxr_images",
            "Images under way that came to an end; outcome is ok or the error code.",
            ["model", "outcome"],
            registry=self._registry,
        )
        self.out_of_distribution = Counter(
            "wscxr_out_of_distribution_images",
            "Scored images unlike the training images: OOD score above 1.",
            ["model"],
            registry=self._registry,
        )
        self.p_value = self._histogram(
            "p_value", "P-values; evenly spread for normals like the calibration's.", _P_VALUES
        )
        self.relative_score = self._histogram(
            "relative_score",
            "Scores: 0 at the median of the calibration, 1 at the threshold.",
            _RELATIVE_SCORES,
        )
        self.ood_score = self._histogram(
            "ood_score", "OOD scores; above 1 unlike the training images.", _OOD_SCORES
        )
        self.decode = self._stage("decode", "Reading one image and preparing the model input.")
        self.queue = self._stage("queue", "Waiting for a batch to start.")
        self.inference = self._stage("inference", "Computing one batch.")
        self.encode = self._stage("encode", "Drawing and compressing an anomaly map.")
        self.batch_size = self._histogram("batch_size", "Images computed at once.", _SIZES)
        self._queue_depth = Gauge(
            "wscxr_queue_depth",
            "Images that wait for a batch.",
            ["model"],
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._served: dict[str, ModelIdentity] = {}
        # Not an Info, which processes cannot share; it reads the same.
        self._model = Gauge(
            "wscxr_model_info",
            "Served bundles.",
            ["model", "version", "sha256"],
            multiprocess_mode="livemax",
            registry=self._registry,
        )

    def watch_records(self) -> "RecordMetrics":
        """Show the state of the record, where there is one."""
        return RecordMetrics(self._registry)

    def watch_model(self, model: ModelIdentity) -> None:
        """Show which bundle is served; that which was served by this name before has 0 from now."""
        former = self._served.get(model.name)
        if former is not None:
            self._model.labels(former.name, former.version, former.sha256).set(0)
        self._served[model.name] = model
        self._model.labels(model.name, model.version, model.sha256).set(1)
        self.set_queue_depth(model.name, 0)

    def set_queue_depth(self, model: str, depth: int) -> None:
        """Show how many images wait for a batch."""
        self._queue_depth.labels(model).set(depth)

    def observe(self, prediction: "Prediction", calibration: "Calibration") -> None:
        """Count what a model says of an image that it answers."""
        name = prediction.model.name
        self.p_value.labels(name).observe(prediction.p_value)
        self.relative_score.labels(name).observe(calibration.relative(prediction.score))
        if prediction.ood_score is not None:
            self.ood_score.labels(name).observe(prediction.ood_score)
        if prediction.out_of_distribution:
            self.out_of_distribution.labels(name).inc()

    def exposition(self) -> bytes:
        """Write all values in Prometheus' text format, those of all workers added up."""
        if self._shared is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(self._shared))
        registry.register(_Processes(self._shared))
        return generate_latest(registry)

    def _stage(self, name: str, documentation: str) -> Histogram:
        return self._histogram(f"{name}_seconds", documentation, _SECONDS)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            f"wscxr_{name}", documentation, ["model"], buckets=buckets, registry=self._registry
        )


class RecordMetrics:
    """What becomes of analyses that are to be recorded.

    Attributes
    ----------
    written, lost
        Analyses that were written, and that were lost because too many waited.
    pictures_lost
        Analyses recorded without their picture, because too many pictures waited.
    waiting
        Analyses in the buffer.
    healthy
        1 while the database takes what is written, else 0.
    drift
        Warnings of this week, by model; looked for every hour.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.written = Counter(
            "wscxr_records_written", "Analyses written to the record.", registry=registry
        )
        self.lost = Counter(
            "wscxr_records_lost", "Analyses that were not recorded.", registry=registry
        )
        self.pictures_lost = Counter(
            "wscxr_record_pictures_lost",
            "Analyses recorded without their picture: too many waited.",
            registry=registry,
        )
        self.waiting = Gauge(
            "wscxr_records_waiting",
            "Analyses that wait to be recorded.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.healthy = Gauge(
            "wscxr_records_healthy",
            "1 while the record can be written, else 0.",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.drift = Gauge(
            "wscxr_drift_warnings",
            "Warnings of drift in this week; see GET /v1/drift.",
            ["model"],
            multiprocess_mode="livemax",
            registry=registry,
        )


class _Processes(Collector):
    """Processor time, memory and descriptors of all workers that live, added up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        total: dict[str, Metric] = {}
        # Files of this kind go when their process does.
        for file in self._folder.glob("gauge_livesum_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            for family in ProcessCollector(pid=lambda: pid, registry=None).collect():  # noqa: B023 - called here
                if family.name not in total:
                    total[family.name] = family
                    continue
                kept = total[family.name]
                kept.samples = [
                    each._replace(value=_join(family.name)(each.value, other.value))
                    for each, other in zip(kept.samples, family.samples, strict=True)
                ]
        yield from total.values()


def _join(name: str) -> Callable[[float, float], float]:
    return min if name.endswith(("start_time_seconds", "max_fds")) else operator.add
