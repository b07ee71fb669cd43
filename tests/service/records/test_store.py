"""The record on SQLite and on PostgreSQL: the chain finds what was changed, and nothing is lost."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.errors import AnalysisNotFound, RecordsUnavailable, RecordsVersion, ReviewConflict
from service.records.database import Database
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.record import Filter, NewReview, Order, Verdict
from service.records.store import Records
from tests.service.records.conftest import KEY
from tests.service.records.rows import analysis


def run(database: Database, statement: str, **values: Any) -> None:
    """Change the database behind the record's back."""
    with database.writing() as session:
        session.execute(text(statement), values)


def judge(records: Records, name: str, revision: int = 0, verdict: str = "abnormal") -> None:
    review = NewReview(verdict=Verdict(verdict), note="note", revision=revision)
    records.review(UUID(name), review, "dr-a")


def problems(records: Records) -> set[str]:
    return {fault.problem for fault in records.verify()[1]}


def test_what_is_written_is_read_and_verified(records: Records) -> None:
    rows = [analysis(score=number / 7) for number in range(3)]
    records.add(rows[:2])
    records.add(rows)  # a batch that is tried again
    judge(records, rows[0]["id"])
    head, faults = records.verify()
    assert (head.number, faults) == (4, [])
    found = records.get(UUID(rows[1]["id"]))
    assert (found.score, found.p_value, found.time) == (1 / 7, 1 / 3, rows[1]["time"])
    assert found.warnings == ["a", "ü"]
    assert len(records.page(Filter(), Order.NEWEST, 10, None)[0]) == 3
    assert records.verify(head)[1] == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE analyses SET score = score + 1e-9 WHERE id = :id", "content_changed"),
        ("UPDATE reviews SET verdict = 'normal'", "content_changed"),
        ("UPDATE ledger SET digest = 'x' WHERE number = 2", "link_broken"),
        ("DELETE FROM ledger WHERE number = 2", "link_broken"),
        ("DELETE FROM reviews", "row_missing"),
        ("DELETE FROM analyses WHERE id = :other", "row_missing"),
        ("DELETE FROM ledger WHERE number = 5", "row_unlinked"),
    ],
)
def test_changes_are_found(
    records: Records, database: Database, statement: str, problem: str
) -> None:
    rows = [analysis() for _ in range(4)]
    records.add(rows)
    judge(records, rows[0]["id"])
    head, faults = records.verify()
    assert faults == []
    statement_values = {"id": rows[0]["id"], "other": rows[1]["id"]}
    used = {key: value for key, value in statement_values.items() if f":{key}" in statement}
    run(database, statement, **used)
    assert problem in problems(records)
    assert "head_missing" in {fault.problem for fault in records.verify(head)[1]} or (
        "ledger WHERE number = 5" not in statement
    )


def test_a_chain_of_another_key_does_not_hold(records: Records, database: Database) -> None:
    records.add([analysis()])
    other = Records(database, Ledger(RecordKey(KEY[::-1])))
    assert problems(other) == {"link_broken", "content_changed"}


def test_erasing_keeps_the_chain(records: Records) -> None:
    old = datetime.now(UTC) - timedelta(days=400)
    rows = [
        analysis(time=old, image_sha256="a" * 64, map_sha256="b" * 64),
        analysis(time=old, study_hash="s", image_sha256="a" * 64, map_sha256="c" * 64),
        analysis(study_hash="s"),
        analysis(image_sha256="a" * 64),
    ]
    records.add(rows)
    judge(records, rows[0]["id"])
    judge(records, rows[0]["id"], 1)
    before = datetime.now(UTC) - timedelta(days=365)
    count, orphans = records.erase_before(before)
    # The last analysis is of an equal picture.
    assert (count, orphans) == (2, ["b" * 64, "c" * 64])
    assert problems(records) == set()
    assert records.erase_study("s")[0] == 1
    assert records.erase_study("s")[0] == 0
    assert problems(records) == set()
    assert [row.id for row, _ in records.all()] == [rows[3]["id"]]
    with pytest.raises(AnalysisNotFound):
        judge(records, rows[0]["id"], 2)
    assert records.erase_analysis(UUID(rows[3]["id"])) == ["a" * 64]
    assert problems(records) == set()
    records.add([analysis()])
    assert problems(records) == set()


def test_an_erasure_that_covers_more_than_it_said_is_found(
    records: Records, database: Database
) -> None:
    records.add([analysis(study_hash="s"), analysis()])
    records.erase_study("s")
    run(database, "DELETE FROM analyses")
    run(database, "UPDATE ledger SET covers = '[1, 2]' WHERE kind = 'erasure'")
    assert problems(records) == {"link_broken"}


def test_of_two_verdicts_at_once_one_stands(records: Records) -> None:
    row = analysis()
    records.add([row])
    ended: list[str] = []
    start = threading.Barrier(4)

    def try_one() -> None:
        start.wait()
        try:
            judge(records, row["id"])
            ended.append("written")
        except ReviewConflict as error:
            ended.append(error.code)

    threads = [threading.Thread(target=try_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["review_conflict"] * 3 + ["written"]
    assert problems(records) == set()


def test_several_services_write_one_chain(location: Location) -> None:
    databases = [Database(location) for _ in range(3)]
    writers = [Records(each, Ledger(RecordKey(KEY))) for each in databases]

    def write(records: Records) -> None:
        for _ in range(10):
            records.add([analysis(), analysis()])

    threads = [threading.Thread(target=write, args=[each]) for each in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head, faults = writers[0].verify()
    assert (head.number, faults) == (60, [])
    for each in databases:
        each.close()


def test_a_database_of_a_later_version(location: Location) -> None:
    first = Database(location)
    run(first, "UPDATE alembic_version SET version_num = '999'")
    first.close()
    with pytest.raises(RecordsVersion):
        Records(Database(location), Ledger(RecordKey(KEY))).probe()


def test_a_server_that_is_not_there() -> None:
    location = Location.parse("postgresql://wscxr@127.0.0.1:1/records")
    assert location is not None
    with pytest.raises(RecordsUnavailable):
        Records(Database(location), Ledger(RecordKey(KEY))).probe()
