"""Records analyses behind the answers' backs: a bounded buffer, and one thread that writes."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from service.errors import ImageNotKept, RecordsUnavailable, ServiceError
from service.prometheus import RecordMetrics
from service.records.database import Database
from service.records.drift.weekly import look_for_drift
from service.records.facts import Facts, facts_of
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.pictures import PictureFolder
from service.records.record import Origin
from service.records.store import Records
from service.scoring.analysis import AnalysisResult
from service.settings import Settings
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.engines import EngineIdentity
from wscxr.imaging import Radiograph
from wscxr.prediction import Prediction
from wscxr.results.png import raw16_png

logger = logging.getLogger(__name__)

_BATCH = 200
"""Most analyses written in one transaction."""

_GATHER_S = 0.05
"""How long a transaction waits for more, in seconds."""

_PICTURE_BYTES = 256 * 1024 * 1024
"""Memory for pictures that wait to be written, in bytes."""

_RETRY_S = (1, 30)
"""Shortest and longest wait after a failure, in seconds."""

_CLOSING_S = 5
"""How long the last write may take when the service stops, in seconds."""

_HOUSEKEEPING_S = 3600
"""How often old analyses and drift are looked for, in seconds."""


@dataclass(frozen=True, eq=False)
class Noted:
    """What is known of an image before it is scored, and the file where pictures are kept."""

    facts: Facts
    engine: EngineIdentity
    data: bytes | None


@dataclass(frozen=True, eq=False)
class _Entry:
    values: dict[str, Any]
    data: bytes | None
    draw_map: Callable[[], bytes]

    @property
    def size(self) -> int:
        return 0 if self.data is None else len(self.data)


class Recorder:
    """Takes what is to be recorded, and never makes an answer wait for a database.

    Parameters
    ----------
    settings
        With the address of a database.
    location
        That address.
    metrics
        Count what is written and what is lost, and show the state.

    Attributes
    ----------
    key
        Makes the hashes of the record.

    Raises
    ------
    ConfigError
        The key cannot be read.
    """

    def __init__(self, settings: Settings, location: Location, metrics: RecordMetrics) -> None:
        self.key = RecordKey.read(settings.records_key_file, location)
        self._database = Database(location)
        self._capacity = settings.records_buffer
        self._keep_days = settings.records_retention_days
        self._model_store = settings.model_store
        folder = settings.record_images
        self.pictures = None if folder is None else PictureFolder(folder)
        self.records = Records(self._database, Ledger(self.key))
        self._metrics = metrics
        self._entries: deque[_Entry] = deque()
        self._picture_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._failure: ServiceError | None = None
        self._probed = False
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        metrics.healthy.set(1)

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, in a limited time; what is lost then is counted and logged."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_S)
        if lost := len(self._entries):
            self._metrics.lost.inc(lost)
            logger.critical("records lost: the service stopped", extra={"count": lost})
        self._database.close()

    @property
    def state(self) -> str:
        """Ok, or the code of what keeps analyses from being written."""
        return "ok" if self._failure is None else self._failure.code

    def note(
        self, data: bytes, radiograph: Radiograph, prepared: ModelInput, bundle: Bundle
    ) -> Noted:
        """Collect what is recorded of a radiograph, before its pixels are dropped."""
        facts = facts_of(radiograph, prepared, bundle.manifest.input, self.key)
        return Noted(facts, bundle.engine, None if self.pictures is None else data)

    def add(
        self,
        result: AnalysisResult,
        noted: Noted,
        origin: Origin,
        prediction: Prediction,
    ) -> None:
        """Record an answer; returns at once, and raises nothing."""
        values = _values(result, noted, origin)
        with self._changed:
            if len(self._entries) >= self._capacity:
                self._metrics.lost.inc()
                logger.error("record lost: the buffer is full", extra={"code": self.state})
                return
            data = noted.data
            if data is not None and self._picture_bytes + len(data) > _PICTURE_BYTES:
                self._metrics.pictures_lost.inc()
                logger.error("picture not kept: too many wait", extra={"code": self.state})
                data = None
            draw_map = partial(raw16_png, prediction.anomaly_map, prediction.colour_scale)
            entry = _Entry(values, data, draw_map)
            self._entries.append(entry)
            self._picture_bytes += entry.size
            self._metrics.waiting.set(len(self._entries))
            self._changed.notify()

    def image(self, analysis: UUID) -> bytes:
        """The kept picture of an analysis, as it was sent.

        Raises
        ------
        AnalysisNotFound
            The record does not hold the analysis.
        ImageNotKept
            Its picture was not kept, or the file is gone or damaged.
        """
        return self._kept(self.records.pictures(analysis)[0])

    def map(self, analysis: UUID) -> bytes:
        """The kept anomaly map of an analysis, raw16 PNG; errors as `image`."""
        return self._kept(self.records.pictures(analysis)[1])

    def _kept(self, name: str | None) -> bytes:
        data = None if self.pictures is None or name is None else self.pictures.get(name)
        if data is None:
            raise ImageNotKept
        return data

    def _run(self) -> None:
        wait_s, kept_house_at = 0.0, -math.inf
        while True:
            batch = self._gather(wait_s)
            if not batch and self._closing:
                return
            try:
                if batch:
                    self._write(batch)
                elif not self._probed or self._failure is not None:
                    self.records.probe()
                self._probed = True
                if time.monotonic() - kept_house_at > _HOUSEKEEPING_S and not self._closing:
                    self._keep_house()
                    kept_house_at = time.monotonic()
            except ServiceError as error:
                wait_s = self._failed(error, wait_s)
            except Exception as error:
                logger.error("unexpected error of the record", exc_info=error)
                wait_s = self._failed(RecordsUnavailable(), wait_s)
            else:
                self._recovered()
                wait_s = 0.0
            if wait_s and self._closing:
                return

    def _gather(self, wait_s: float) -> list[_Entry]:
        """Wait for entries, after a failure for a while; they stay in the buffer until written."""
        with self._changed:
            if wait_s:
                self._changed.wait_for(lambda: self._closing, wait_s)
            elif self._probed:
                self._changed.wait_for(lambda: self._entries or self._closing, _HOUSEKEEPING_S)
                if not self._closing:
                    self._changed.wait_for(
                        lambda: len(self._entries) >= _BATCH or self._closing, _GATHER_S
                    )
            return list(islice(self._entries, _BATCH))

    def _write(self, batch: list[_Entry]) -> None:
        for entry in batch:
            self._keep(entry)
        self.records.add([entry.values for entry in batch])
        with self._changed:
            for _ in batch:
                self._picture_bytes -= self._entries.popleft().size
            self._metrics.waiting.set(len(self._entries))
        self._metrics.written.inc(len(batch))

    def _keep(self, entry: _Entry) -> None:
        if self.pictures is None or entry.data is None:
            return
        try:
            entry.values["image_sha256"] = self.pictures.put(entry.data)
            entry.values["map_sha256"] = self.pictures.put(entry.draw_map())
        except OSError as error:
            raise RecordsUnavailable("the folder of pictures cannot be written") from error

    def _keep_house(self) -> None:
        if self._keep_days:
            self._forget(self._keep_days)
        try:
            rows = look_for_drift(self.records, self._model_store, weeks=1).rows
        except ServiceError:
            raise
        except Exception as error:
            # Whatever it was, analyses are recorded.
            logger.error("drift cannot be looked for", exc_info=error)
            return
        self._metrics.drift.clear()
        for row in rows:
            self._metrics.drift.labels(row.model.name).inc(len(row.warnings))

    def _forget(self, days: int) -> None:
        count, orphans = self.records.erase_before(datetime.now(UTC) - timedelta(days=days))
        if count:
            logger.info("old analyses erased", extra={"count": count})
        if self.pictures is not None:
            for name in orphans:
                self.pictures.remove(name)

    def _failed(self, error: ServiceError, waited_s: float) -> float:
        self._failure = error
        self._metrics.healthy.set(0)
        logger.error(
            "analyses cannot be recorded; they wait",
            extra={"code": error.code, "reason": str(error), "waiting": len(self._entries)},
        )
        shortest, longest = _RETRY_S
        return min(max(2 * waited_s, shortest), longest)

    def _recovered(self) -> None:
        if self._failure is not None:
            logger.warning("analyses are recorded again", extra={"waiting": len(self._entries)})
        self._failure = None
        self._metrics.healthy.set(1)


def _values(result: AnalysisResult, noted: Noted, origin: Origin) -> dict[str, Any]:
    """The columns of an `AnalysisRow`."""
    facts = noted.facts
    image = facts.image
    return dict(
        id=str(result.id),
        time=datetime.now(UTC),
        request_id=str(origin.request_id),
        source=origin.source.value,
        caller=origin.caller,
        model_name=result.model.name,
        model_version=result.model.version,
        model_sha256=result.model.sha256,
        engine=noted.engine.name,
        precision=noted.engine.precision,
        score=result.score,
        p_value=result.p_value,
        threshold=result.threshold,
        decision=result.decision.value,
        ood_score=result.ood_score,
        warnings=result.warnings,
        image_rows=image.rows,
        image_columns=image.columns,
        bits=image.bits,
        manufacturer=image.manufacturer,
        device=image.device,
        view=image.view,
        age_band=image.age_band,
        sex=image.sex,
        instance_hash=facts.instance_hash,
        study_hash=facts.study_hash,
        patient_hash=facts.patient_hash,
        **facts.statistics._asdict(),
        image_sha256=None,
        map_sha256=None,
    )
