"""The hash chain over the record: what was written is found changed, or missing, by its links.

Every row of an analysis or a review has one link, numbered without gaps. A link holds a keyed hash
of the row's content (`digest`), and a keyed hash of itself and of the link before (`link`). Links
are never removed. When rows are erased, by retention or for a patient, a link of the kind erasure
names the links whose rows are gone. So the chain stays verifiable, and holds nothing of them but
their hashes, ids and times.

The key is not in the database, so whoever can write to the database alone cannot forge a link. What
the chain alone cannot show is that its newest links were cut off; `verify` reports the head of the
chain, to be noted elsewhere and given to a later `verify`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.records.keys import RecordKey
from service.records.tables import AnalysisRow, LedgerRow, ReviewRow

_START = "0" * 64
_BATCH = 1000


@dataclass(frozen=True)
class ChainHead:
    """The newest link of the chain: its number, from 1, and its hash; 0 and zeros if empty."""

    number: int
    link: str

    def __str__(self) -> str:
        return f"{self.number}:{self.link}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` writes.

        Raises
        ------
        ValueError
            It is no head.
        """
        number, link = text.split(":")
        return cls(int(number), link)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the record.

    Attributes
    ----------
    number
        The link it was found at.
    subject
        Id of the analysis, or of the review as ``id/revision``.
    problem
        link_broken, content_changed, row_missing, row_unlinked or head_missing.
    """

    number: int
    subject: str
    problem: str


class Ledger:
    """Writes and verifies the links of the chain."""

    def __init__(self, key: RecordKey) -> None:
        self._key = key

    def append(self, session: Session, rows: Iterable[AnalysisRow | ReviewRow]) -> None:
        """Link rows that are written in the same transaction."""
        head = self.head(session)
        for row in rows:
            kind, subject = _subject(row)
            head = self._link(session, head, kind, subject, self._digest(row), None)

    def erase(self, session: Session, subjects: Sequence[str], reason: str) -> None:
        """Note that the rows of these analyses, and of their reviews, are erased."""
        covered: list[int] = []
        for some in _batches(subjects):
            named = select(LedgerRow.number, LedgerRow.subject, LedgerRow.kind)
            reviews = select(ReviewRow.analysis_id, ReviewRow.revision).where(
                ReviewRow.analysis_id.in_(some)
            )
            names = [*some, *(f"{one}/{revision}" for one, revision in session.execute(reviews))]
            covered += [
                number
                for part in _batches(names)
                for number, _, _ in session.execute(named.where(LedgerRow.subject.in_(part)))
            ]
        covered.sort()
        digest = self._key.digest("erasure", json.dumps(covered).encode())
        self._link(session, self.head(session), "erasure", reason, digest, covered)

    def head(self, session: Session) -> ChainHead:
        """The newest link."""
        newest = select(LedgerRow.number, LedgerRow.link).order_by(LedgerRow.number.desc()).limit(1)
        found = session.execute(newest).one_or_none()
        return ChainHead(0, _START) if found is None else ChainHead(*found)

    def verify(self, session: Session, expected: ChainHead | None = None) -> Iterator[Fault]:
        """Find everything that is wrong with the record.

        Parameters
        ----------
        session
            A transaction in which nothing is written.
        expected
            A head that was noted earlier: the chain must still hold it.
        """
        erased, numbers, previous = self._erased(session), 0, _START
        met = expected is None or expected.number == 0
        linked: set[str] = set()
        for links in self._links(session):
            rows = _rows(session, links)
            for link in links:
                numbers += 1
                sound = link.number == numbers and link.link == self._hash(link, previous)
                if not sound:
                    yield Fault(link.number, link.subject, "link_broken")
                    numbers = link.number
                previous = link.link
                if expected is not None and link.number == expected.number:
                    met = link.link == expected.link
                if link.kind == "erasure":
                    continue
                linked.add(link.subject)
                row = rows.get(link.subject)
                if row is None and link.number not in erased:
                    yield Fault(link.number, link.subject, "row_missing")
                elif row is not None and self._digest(row) != link.digest:
                    yield Fault(link.number, link.subject, "content_changed")
            session.expunge_all()
        for subject in _subjects(session):
            if subject not in linked:
                yield Fault(0, subject, "row_unlinked")
        if not met and expected is not None:
            yield Fault(expected.number, "", "head_missing")

    def _erased(self, session: Session) -> set[int]:
        lists = session.scalars(select(LedgerRow.covers).where(LedgerRow.kind == "erasure"))
        return {number for covered in lists for number in covered or ()}

    def _links(self, session: Session) -> Iterator[list[LedgerRow]]:
        after = 0
        ordered = select(LedgerRow).order_by(LedgerRow.number).limit(_BATCH)
        while links := list(session.scalars(ordered.where(LedgerRow.number > after))):
            after = links[-1].number
            yield links

    def _link(
        self,
        session: Session,
        head: ChainHead,
        kind: str,
        subject: str,
        digest: str,
        covers: list[int] | None,
    ) -> ChainHead:
        row = LedgerRow(
            number=head.number + 1,
            time=datetime.now(UTC),
            kind=kind,
            subject=subject,
            digest=digest,
            covers=covers,
        )
        row.link = self._hash(row, head.link)
        session.add(row)
        return ChainHead(row.number, row.link)

    def _hash(self, row: LedgerRow, previous: str) -> str:
        content = [
            previous,
            row.number,
            row.time.isoformat(),
            row.kind,
            row.subject,
            row.digest,
            row.covers,
        ]
        return self._key.digest("link", json.dumps(content).encode())

    def _digest(self, row: AnalysisRow | ReviewRow) -> str:
        names = [column.key for column in type(row).__table__.columns]
        # The database gives numbers out; everything else was said by the service.
        content: dict[str, Any] = {
            name: getattr(row, name) for name in names if name != AnalysisRow.number.key
        }
        text = json.dumps(content, sort_keys=True, default=datetime.isoformat)
        return self._key.digest("content", text.encode())


def _subject(row: AnalysisRow | ReviewRow) -> tuple[str, str]:
    if isinstance(row, ReviewRow):
        return "review", f"{row.analysis_id}/{row.revision}"
    return "analysis", row.id


def _rows(session: Session, links: list[LedgerRow]) -> dict[str, AnalysisRow | ReviewRow]:
    subjects = [link.subject for link in links if link.kind != "erasure"]
    ids = [subject.partition("/")[0] for subject in subjects]
    found: dict[str, AnalysisRow | ReviewRow] = {}
    for some in _batches(ids):
        for analysis in session.scalars(select(AnalysisRow).where(AnalysisRow.id.in_(some))):
            found[analysis.id] = analysis
        for review in session.scalars(select(ReviewRow).where(ReviewRow.analysis_id.in_(some))):
            found[_subject(review)[1]] = review
    return found


def _subjects(session: Session) -> Iterator[str]:
    yield from session.scalars(select(AnalysisRow.id))
    for analysis, revision in session.execute(select(ReviewRow.analysis_id, ReviewRow.revision)):
        yield f"{analysis}/{revision}"


def _batches(items: Sequence[str], size: int = _BATCH) -> Iterator[list[str]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
