"""What Prometheus and health checks see of the watcher."""

import time

from cachetools import LRUCache
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
)

from service.pacs.bridge import Ending, Outcome
from service.pacs.errors import PacsError

_STUDIES = 10_000


class PacsMetrics:
    """All metrics of one watcher.

    Attributes
    ----------
    registry
        Where they are.
    trouble
        Code of what keeps the watcher from working now; None when nothing does.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trouble: str | None = None
        ProcessCollector(registry=self.registry)
        self._instances = Counter(
            "wscxr_pacs_instances",
            "Instances by how they ended; the code says why one was skipped or failed.",
            ["outcome", "code"],
            registry=self.registry,
        )
        self._studies = Counter(
            "wscxr_pacs_studies",
            "Studies by how their instances ended, each way once for a study.",
            ["outcome"],
            registry=self.registry,
        )
        self._retries = Counter(
            "wscxr_pacs_retries", "Tries that failed, by code.", ["code"], registry=self.registry
        )
        self._backlog = Gauge(
            "wscxr_pacs_backlog", "Changes or instances not finished yet.", registry=self.registry
        )
        self._lag = Gauge(
            "wscxr_pacs_lag_seconds",
            "Since the oldest unfinished arrival was seen.",
            registry=self.registry,
        )
        self._set_aside = Gauge(
            "wscxr_pacs_set_aside", "Instances that failed for good.", registry=self.registry
        )
        self._success = Gauge(
            "wscxr_pacs_last_success_timestamp_seconds",
            "When the archive last answered or an instance was last finished.",
            registry=self.registry,
        )
        self._oldest: float | None = None
        self._lag.set_function(self._age)
        self._seen: LRUCache[tuple[str, Ending], None] = LRUCache(_STUDIES)

    def ended(self, study: str | None, outcome: Outcome) -> None:
        """Count an instance, and its study if that was not counted so before."""
        self._instances.labels(outcome.ending, outcome.code or "").inc()
        key = (study or "", outcome.ending)
        if key not in self._seen:
            self._seen[key] = None
            self._studies.labels(outcome.ending).inc()

    def failing(self, error: PacsError) -> None:
        """Note a try that failed."""
        self.trouble = error.code
        self._retries.labels(error.code).inc()

    def working(self) -> None:
        """Note that something worked."""
        self.trouble = None
        self._success.set_to_current_time()

    def waiting(self, backlog: int, oldest: float | None, set_aside: int) -> None:
        """Note what is not finished.

        Parameters
        ----------
        backlog
            How much.
        oldest
            When the oldest was seen, by the monotonic clock; None when all is finished.
        set_aside
            How many instances are set aside.
        """
        self._backlog.set(backlog)
        self._set_aside.set(set_aside)
        self._oldest = oldest

    def _age(self) -> float:
        return 0.0 if self._oldest is None else time.monotonic() - self._oldest
