"""The core that every run shares: work items in, rows out, the bundle loaded once."""

import logging
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import wscxr
from service.archive.errors import UnreadableFile
from service.archive.plan import Plan
from service.archive.rows import Item, ScoredBy, batch_of, failed_row, items_of, scored_row
from service.errors import InferenceFailed, InternalError
from wscxr.anatomy import ModelInput
from wscxr.errors import FileTooLarge, TooManyPixels, WscxrError
from wscxr.imaging import DicomRules, ImageLimits, LateralRule, read_radiograph
from wscxr.prediction import Prediction
from wscxr.results.png import raw16_png

logger = logging.getLogger(__name__)

_BATCH = 16
"""Images that are computed together."""

Read = Callable[[bytes], bytes]
"""Fetches the bytes of an instance from its place; raises `WscxrError` where it cannot."""


@dataclass(frozen=True, eq=False)
class _Opened:
    """One instance ready for the detector, or the code of why it is not."""

    item: Item
    code: str | None = None
    prepared: ModelInput | None = None
    warnings: tuple[str, ...] = ()


class Begun:
    """A chunk of work items whose images are being read."""

    def __init__(self, images: Sequence["Future[_Opened]"]) -> None:
        self.images = images


class Scorer:
    """A loaded bundle, and the threads that read images ahead of it.

    Parameters
    ----------
    plan
        What to score with.
    read
        Fetches the bytes of an instance.

    Attributes
    ----------
    by
        The bundle, and what runs it.

    Raises
    ------
    BundleError, WeightsUnavailable, DeviceUnavailable, EngineUnavailable
        See `wscxr.load`.
    """

    def __init__(self, plan: Plan, read: Read) -> None:
        self._bundle = wscxr.load(plan.bundle, plan.device, plan.engine, plan.precision)
        self.by = ScoredBy(self._bundle.identity, self._bundle.engine)
        self._rules = DicomRules(lateral=LateralRule(plan.lateral))
        self._maps = plan.maps
        self._read = read
        self._readers = ThreadPoolExecutor(plan.threads + 1)

    def begin(self, items: pa.RecordBatch) -> Begun:
        """Start reading some work items; returns at once."""
        return Begun([self._readers.submit(self._open, item) for item in items_of(items)])

    def finish(self, begun: Begun) -> pa.RecordBatch:
        """Score work items that were begun.

        Returns
        -------
        RecordBatch
            One row each, in their order; see `service.archive.rows.ROWS`.
        """
        rows = []
        for start in range(0, len(begun.images), _BATCH):
            # Those behind are read while these are computed.
            opened = [image.result() for image in begun.images[start : start + _BATCH]]
            usable = [one for one in opened if one.prepared is not None]
            scored = self._predict(usable) if usable else {}
            rows += [self._row(one, scored.get(one.item.number)) for one in opened]
        return batch_of(rows)

    def _open(self, item: Item) -> _Opened:
        try:
            radiograph = read_radiograph(
                self._read(item.place), rules=self._rules, side=self._bundle.view_side
            )
            return _Opened(
                item, prepared=self._bundle.prepare(radiograph), warnings=radiograph.warnings
            )
        except MemoryError:
            return _Opened(item, TooManyPixels.code)
        except WscxrError as error:
            return _Opened(item, error.code)
        except Exception:
            logger.exception("an image could not be prepared")
            return _Opened(item, InternalError.code)

    def _predict(self, batch: Sequence[_Opened]) -> dict[int, Prediction | str]:
        inputs = [one.prepared for one in batch if one.prepared is not None]
        try:
            found = self._bundle.predict_inputs(inputs)
        except Exception:
            if len(batch) > 1:  # one image must not fail the others
                parts = [self._predict([one]) for one in batch]
                return {number: result for part in parts for number, result in part.items()}
            logger.exception("an image could not be scored")
            return {batch[0].item.number: InferenceFailed.code}
        return {one.item.number: result for one, result in zip(batch, found, strict=True)}

    def _row(self, opened: _Opened, found: Prediction | str | None) -> dict[str, Any]:
        if not isinstance(found, Prediction):
            code = opened.code or found or InternalError.code
            return failed_row(opened.item, self.by, code)
        return scored_row(
            opened.item,
            self.by,
            score=found.score,
            p_value=found.p_value,
            threshold=found.threshold,
            decision=found.decision.value,
            ood_score=found.ood_score,
            warnings=[*found.warnings, *opened.warnings],
            anomaly_map=raw16_png(found.anomaly_map, found.colour_scale) if self._maps else None,
        )


def read_file(place: bytes) -> bytes:
    """Read a file.

    Parameters
    ----------
    place
        Its path, as the system spells it.

    Raises
    ------
    UnreadableFile
        It cannot be opened, or is a pipe, a folder or the like.
    FileTooLarge
        It is larger than any image may be; it is not read.
    """
    try:
        about = os.stat(place)  # noqa: PTH116 - a path of any bytes
        if not stat.S_ISREG(about.st_mode):
            raise UnreadableFile
        if about.st_size > ImageLimits().max_bytes:
            raise FileTooLarge
        with open(place, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        raise UnreadableFile from None
