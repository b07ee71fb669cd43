"""What the record holds of the images of each device: the numbers that drift shows in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, and_, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from service.records.drift.report import QUANTITIES, Quantity
from service.records.record import Source
from service.records.tables import AnalysisRow, ReviewRow, latest_review
from wscxr.bundle.identity import ModelIdentity

MOST_STREAMS = 50
"""A header may say anything, so that there may be any number of devices; the largest are read."""

_MOST_FIRST = 2000
"""Most images that stand for the first weeks."""

_KEY = (
    AnalysisRow.model_name,
    AnalysisRow.model_version,
    AnalysisRow.model_sha256,
    AnalysisRow.source,
    AnalysisRow.manufacturer,
    AnalysisRow.device,
)


class Stream(NamedTuple):
    """Images of one device from one source that one model answered."""

    model: ModelIdentity
    source: Source
    manufacturer: str | None
    device: str | None


@dataclass(frozen=True, eq=False)
class Images:
    """Images of a stream, in the order of their answers.

    Attributes
    ----------
    ids
        Of the analyses, of shape (n,).
    weeks
        Monday of each, datetime64[D] of shape (n,).
    patients
        Keyed hash of each patient, of shape (n,); an image without one has a name of its own.
    abnormal
        Whether each was called abnormal, of shape (n,).
    verdicts
        The latest verdict on each, of shape (n,); empty where there is none.
    values
        Float64 of shape (n,) of each quantity; NaN where there is none.
    """

    ids: NDArray[np.str_]
    weeks: NDArray[np.datetime64]
    patients: NDArray[np.str_]
    abnormal: NDArray[np.bool_]
    verdicts: NDArray[np.str_]
    values: dict[Quantity, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Some of them."""
        return type(self)(
            self.ids[chosen],
            self.weeks[chosen],
            self.patients[chosen],
            self.abnormal[chosen],
            self.verdicts[chosen],
            {name: values[chosen] for name, values in self.values.items()},
        )

    def one_a_patient(self) -> Self:
        """The first of each patient: several pictures of one person are worth less than many."""
        _, first = np.unique(self.patients, return_index=True)
        return self[np.sort(first)]

    @classmethod
    def of(cls, rows: Sequence[Row[Any]]) -> Self:
        """Arrange rows of `_columns`."""
        return cls(
            ids=np.array([row.id for row in rows], dtype=np.str_),
            weeks=np.array([monday(row.time) for row in rows], dtype="datetime64[D]"),
            patients=np.array([row.patient_hash or row.id for row in rows], dtype=np.str_),
            abnormal=np.array([row.decision == "abnormal" for row in rows], dtype=np.bool_),
            verdicts=np.array([row.verdict or "" for row in rows], dtype=np.str_),
            values={
                # A float array has NaN for None.
                name: np.array([getattr(row, name) for row in rows], dtype=np.float64)
                for name in QUANTITIES
            },
        )


@dataclass(frozen=True, eq=False)
class Observed:
    """One stream: its first images in the record, and its recent ones."""

    stream: Stream
    first: Images
    recent: Images


def monday(moment: datetime | date) -> date:
    """The Monday of a moment's week."""
    day = moment.date() if isinstance(moment, datetime) else moment
    return day - timedelta(days=day.weekday())


def read_streams(session: Session, since: datetime) -> tuple[list[Observed], int]:
    """Read the streams that have images since a moment.

    Parameters
    ----------
    since
        In UTC.

    Returns
    -------
    tuple
        The largest streams, `MOST_STREAMS` of them at most; and how many smaller ones there are.
    """
    recent = AnalysisRow.time >= since
    counted = select(*_KEY, func.count().label("n")).where(recent).group_by(*_KEY)
    keys = session.execute(counted.order_by(func.count().desc(), *_KEY)).all()
    found = []
    for key in keys[:MOST_STREAMS]:
        # `is` and not `=`: a stream of uploads has no device.
        of_stream = and_(*(column.is_not_distinct_from(key[i]) for i, column in enumerate(_KEY)))
        model = ModelIdentity(name=key[0], version=key[1], sha256=key[2])
        found.append(
            Observed(
                Stream(model, Source(key[3]), key[4], key[5]),
                first=_images(session, of_stream, _MOST_FIRST),
                recent=_images(session, and_(of_stream, recent)),
            )
        )
    return found, len(keys[MOST_STREAMS:])


def _images(session: Session, condition: ColumnElement[bool], most: int | None = None) -> Images:
    columns = (
        AnalysisRow.id,
        AnalysisRow.time,
        AnalysisRow.patient_hash,
        AnalysisRow.decision,
        ReviewRow.verdict,
        *(getattr(AnalysisRow, name) for name in QUANTITIES),
    )
    query = select(*columns).outerjoin(ReviewRow, latest_review()).where(condition)
    return Images.of(session.execute(query.order_by(AnalysisRow.number).limit(most)).all())
