"""The Prometheus metrics of the service."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

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
            "wscxr_queue_depth", "Images that wait for a batch.", ["model"], registry=self._registry
        )
        self._model = Info("wscxr_model", "Served bundles.", ["model"], registry=self._registry)

    def watch_records(self) -> "RecordMetrics":
        """Show the state of the record, where there is one."""
        return RecordMetrics(self._registry)

    def watch_model(self, model: ModelIdentity, queue_depth: Callable[[], int]) -> None:
        """Show which bundle is served, and the length of its queue."""
        self._model.labels(model.name).info({"version": model.version, "sha256": model.sha256})
        self._queue_depth.labels(model.name).set_function(queue_depth)

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
        """Write all values in Prometheus' text format."""
        return generate_latest(self._registry)

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
            "wscxr_records_waiting", "Analyses that wait to be recorded.", registry=registry
        )
        self.healthy = Gauge(
            "wscxr_records_healthy", "1 while the record can be written, else 0.", registry=registry
        )
        self.drift = Gauge(
            "wscxr_drift_warnings",
            "Warnings of drift in this week; see GET /v1/drift.",
            ["model"],
            registry=registry,
        )
