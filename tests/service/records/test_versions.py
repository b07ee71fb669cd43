"""The versions of a model on what readers judged."""

from uuid import UUID

import pytest
from scipy.stats import binomtest

from service.records.record import NewReview, Verdict
from service.records.store import Records
from service.records.versions import reviewed_versions
from tests.service.records.rows import analysis


def test_each_version_is_counted_on_its_own_analyses(records: Records) -> None:
    judged = [
        ("1", "abnormal", "abnormal", 3),
        ("1", "abnormal", "normal", 2),
        ("1", "normal", "abnormal", 1),
        ("2", "normal", "normal", 4),
        ("2", "unsure", "abnormal", 2),
    ]
    for version, verdict, decision, count in judged:
        for _ in range(count):
            row = analysis(model_version=version, decision=decision)
            records.add([row])
            review = NewReview(verdict=Verdict(verdict), revision=0)
            records.review(UUID(row["id"]), review, "dr-a")
    records.add([analysis(decision="abnormal"), analysis(model_name="other")])
    second, first = reviewed_versions(records, "chest").versions
    assert (first.model.version, second.model.version) == ("1", "2")
    assert first.abnormal is not None
    assert (first.abnormal.n, first.abnormal.called) == (5, 3)
    expected = binomtest(3, 5).proportion_ci(0.95, method="exact")
    assert (first.abnormal.low, first.abnormal.high) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )
    assert first.normal is not None
    assert (first.normal.n, first.normal.called) == (1, 1)
    assert second.abnormal is None  # unsure is neither
    assert second.normal is not None
    assert (second.normal.n, second.normal.called, second.normal.low) == (4, 0, 0)
    assert reviewed_versions(records, "none").versions == []


def test_a_latest_verdict_stands_and_pages_are_followed(records: Records) -> None:
    rows = [analysis(decision="abnormal") for _ in range(450)]
    records.add(rows)
    for row in rows:
        records.review(UUID(row["id"]), NewReview(verdict=Verdict.ABNORMAL, revision=0), "dr-a")
    records.review(UUID(rows[0]["id"]), NewReview(verdict=Verdict.NORMAL, revision=1), "dr-b")
    [found] = reviewed_versions(records, "chest").versions
    assert found.abnormal is not None
    assert found.normal is not None
    assert (found.abnormal.n, found.normal.n) == (449, 1)
