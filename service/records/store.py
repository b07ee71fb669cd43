"""Questions to the record, and what is written to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select
from sqlalchemy.orm import Session

from service.errors import AnalysisNotFound, InvalidRequest, ReviewConflict
from service.records.database import Database
from service.records.drift.observed import Observed, read_streams
from service.records.ledger import ChainHead, Fault, Ledger
from service.records.record import (
    Filter,
    NewReview,
    Order,
    RecordedAnalysis,
    RecordedImage,
    Review,
    Source,
)
from service.records.tables import AnalysisRow, ReviewRow, latest_review
from wscxr.bundle.identity import ModelIdentity
from wscxr.model.calibration import Decision

_BATCH = 1000


class Traces(NamedTuple):
    """When an image was analysed, and the keyed hashes of its Study and SOP Instance UID."""

    time: datetime
    study_hash: str
    instance_hash: str


class Records:
    """The record of one database; every method raises what `Database.reading` does."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def probe(self) -> None:
        """Make sure that the database can be used."""
        with self._database.reading() as session:
            self._ledger.head(session)

    def add(self, analyses: Sequence[Mapping[str, Any]]) -> None:
        """Write analyses; those that are there already are left as they are.

        Parameters
        ----------
        analyses
            Columns of `AnalysisRow`, by name.
        """
        with self._database.writing() as session:
            ids = [one["id"] for one in analyses]
            known = set(session.scalars(select(AnalysisRow.id).where(AnalysisRow.id.in_(ids))))
            new = [AnalysisRow(**one) for one in analyses if one["id"] not in known]
            session.add_all(new)
            self._ledger.append(session, new)

    def page(
        self, wanted: Filter, order: Order, limit: int, cursor: str | None
    ) -> tuple[list[RecordedAnalysis], str | None]:
        """List analyses, some at a time.

        Returns
        -------
        tuple
            Some analyses, and the cursor of the next ones; None after the last.

        Raises
        ------
        InvalidRequest
            The cursor is none that this order gave out.
        """
        query = _with_review().where(*_conditions(wanted))
        query = _ordered(query, order, cursor).limit(limit + 1)
        with self._database.reading() as session:
            found = session.execute(query).all()
            items = [_recorded(*pair) for pair in found[:limit]]
            more = _cursor(found[limit - 1][0], order) if len(found) > limit else None
        return items, more

    def get(self, analysis: UUID) -> RecordedAnalysis:
        """Look up an analysis.

        Raises
        ------
        AnalysisNotFound
            The record does not hold it, or not any more.
        """
        with self._database.reading() as session:
            return _recorded(*_found(session, analysis))

    def pictures(self, analysis: UUID) -> tuple[str | None, str | None]:
        """Names of the kept picture and of its map, None for none; errors as `get`."""
        with self._database.reading() as session:
            row, _ = _found(session, analysis)
            return row.image_sha256, row.map_sha256

    def traces(self, analysis: UUID) -> Traces | None:
        """By what an image of the PACS can be found there again; errors as `get`.

        Returns
        -------
        Traces or None
            None where the image did not come from there.
        """
        with self._database.reading() as session:
            row, _ = _found(session, analysis)
            if row.source != Source.PACS or row.study_hash is None or row.instance_hash is None:
                return None
            return Traces(row.time, row.study_hash, row.instance_hash)

    def review(self, analysis: UUID, verdict: NewReview, reviewer: str) -> Review:
        """Record a verdict on top of the one that the reader saw.

        Raises
        ------
        AnalysisNotFound
            The record does not hold the analysis, or not any more.
        ReviewConflict
            Somebody else has judged since; it carries the present review.
        """
        with self._database.writing() as session:
            _, latest = _found(session, analysis)
            if (latest.revision if latest else 0) != verdict.revision:
                if latest is None:
                    raise ReviewConflict
                raise ReviewConflict(Review.model_validate(latest).model_dump(mode="json"))
            row = ReviewRow(
                analysis_id=str(analysis),
                revision=verdict.revision + 1,
                verdict=verdict.verdict.value,
                note=verdict.note,
                reviewer=reviewer,
                time=datetime.now(UTC),
            )
            session.add(row)
            self._ledger.append(session, [row])
            return Review.model_validate(row)

    def verify(self, expected: ChainHead | None = None) -> tuple[ChainHead, list[Fault]]:
        """Verify the hash chain; the head of the chain, and everything that is wrong."""
        with self._database.reading() as session:
            return self._ledger.head(session), list(self._ledger.verify(session, expected))

    def all(self) -> Iterator[tuple[AnalysisRow, ReviewRow | None]]:
        """Every analysis with its latest review, oldest first."""
        after = 0
        while True:
            query = _with_review().where(AnalysisRow.number > after)
            with self._database.reading() as session:
                found = session.execute(query.order_by(AnalysisRow.number).limit(_BATCH)).all()
                session.expunge_all()
            if not found:
                return
            yield from ((row, review) for row, review in found)
            after = found[-1][0].number

    def observed(self, since: datetime) -> tuple[list[Observed], int]:
        """Images by model, source and device, to look for drift; see `read_streams`."""
        with self._database.reading() as session:
            return read_streams(session, since)

    def erase_before(self, moment: datetime) -> tuple[int, list[str]]:
        """Erase analyses older than a moment, and their reviews.

        Returns
        -------
        tuple
            How many there were, and names of pictures that no analysis names any more.
        """
        return self._erase(AnalysisRow.time < moment, "retention")

    def erase_study(self, study_hash: str) -> tuple[int, list[str]]:
        """Erase the analyses of a study, by its keyed hash; gives what `erase_before` does."""
        return self._erase(AnalysisRow.study_hash == study_hash, "patient")

    def erase_analysis(self, analysis: UUID) -> list[str]:
        """Erase one analysis and its reviews; names of its pictures; errors as `get`."""
        self.get(analysis)
        return self._erase(AnalysisRow.id == str(analysis), "patient")[1]

    def _erase(self, condition: ColumnElement[bool], reason: str) -> tuple[int, list[str]]:
        orphans: list[str] = []
        count = 0
        while True:
            with self._database.writing() as session:
                rows = list(session.scalars(select(AnalysisRow).where(condition).limit(_BATCH)))
                if not rows:
                    return count, orphans
                count += len(rows)
                ids = [row.id for row in rows]
                names = {
                    name for row in rows for name in (row.image_sha256, row.map_sha256) if name
                }
                self._ledger.erase(session, ids, reason)
                session.execute(delete(ReviewRow).where(ReviewRow.analysis_id.in_(ids)))
                session.execute(delete(AnalysisRow).where(AnalysisRow.id.in_(ids)))
                # Equal pictures are kept once.
                orphans += sorted(names - _in_use(session, names))


def _in_use(session: Session, names: Iterable[str]) -> set[str]:
    columns = AnalysisRow.image_sha256, AnalysisRow.map_sha256
    queries = (select(column).where(column.in_(names)) for column in columns)
    return {name for query in queries for name in session.scalars(query) if name}


def _with_review() -> Select[AnalysisRow, ReviewRow | None]:
    return select(AnalysisRow, ReviewRow).outerjoin(ReviewRow, latest_review())


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found = []
    for column, value in (
        (AnalysisRow.decision, wanted.decision),
        (AnalysisRow.model_name, wanted.model),
        (AnalysisRow.source, wanted.source),
    ):
        if value is not None:
            found.append(column == str(value))
    if wanted.reviewed is not None:
        unreviewed = ReviewRow.revision.is_(None)
        found.append(~unreviewed if wanted.reviewed else unreviewed)
    if wanted.since is not None:
        found.append(AnalysisRow.time >= wanted.since)
    return found


def _ordered(
    query: Select[AnalysisRow, ReviewRow | None], order: Order, cursor: str | None
) -> Select[AnalysisRow, ReviewRow | None]:
    p_value, score, number = AnalysisRow.p_value, AnalysisRow.score, AnalysisRow.number
    if order is Order.NEWEST:
        if cursor is not None:
            [last] = _parsed(cursor, int)
            query = query.where(number < last)
        return query.order_by(number.desc())
    if cursor is not None:
        p, s, n = _parsed(cursor, float, float, int)
        after = or_(score < s, and_(score == s, number < n))
        query = query.where(or_(p_value > p, and_(p_value == p, after)))
    return query.order_by(p_value.asc(), score.desc(), number.desc())


def _cursor(row: AnalysisRow, order: Order) -> str:
    if order is Order.NEWEST:
        return str(row.number)
    return f"{row.p_value!r},{row.score!r},{row.number}"


def _parsed(cursor: str, *kinds: type[int] | type[float]) -> list[int | float]:
    try:
        return [kind(part) for kind, part in zip(kinds, cursor.split(","), strict=True)]
    except ValueError:
        raise InvalidRequest("the cursor is none of this list in this order") from None


def _found(session: Session, analysis: UUID) -> tuple[AnalysisRow, ReviewRow | None]:
    query = _with_review().where(AnalysisRow.id == str(analysis))
    found = session.execute(query).one_or_none()
    if found is None:
        raise AnalysisNotFound
    return found


def _recorded(row: AnalysisRow, review: ReviewRow | None) -> RecordedAnalysis:
    image = RecordedImage(
        rows=row.image_rows,
        columns=row.image_columns,
        bits=row.bits,
        manufacturer=row.manufacturer,
        device=row.device,
        view=row.view,
        age_band=row.age_band,
        sex=row.sex,
    )
    model = ModelIdentity(name=row.model_name, version=row.model_version, sha256=row.model_sha256)
    return RecordedAnalysis(
        id=UUID(row.id),
        time=row.time,
        request_id=UUID(row.request_id),
        source=Source(row.source),
        model=model,
        engine=row.engine,
        precision=row.precision,
        score=row.score,
        p_value=row.p_value,
        threshold=row.threshold,
        decision=Decision(row.decision),
        ood_score=row.ood_score,
        warnings=row.warnings,
        image=image,
        caller=row.caller,
        has_image=row.image_sha256 is not None,
        review=None if review is None else Review.model_validate(review),
    )
