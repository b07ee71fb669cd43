"""Analyses and reviews over HTTP, as the page uses them."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dicom_files import dataset, written
from tests.service import pictures
from tests.service.serving import RunningServer, check_problem, make_settings, running, wait_for


@contextlib.contextmanager
def recording(store: Path, folder: Path, **values: Any) -> Iterator[RunningServer]:
    """A server with a record of its own in a folder."""
    url = f"sqlite:///{folder / 'records.sqlite3'}"
    with running(make_settings(store, records=url, **values)) as server:
        yield server


@pytest.fixture
def kept(store: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with recording(store, tmp_path, record_images=tmp_path / "pictures") as started:
        yield started


def send(server: RunningServer, data: bytes, **headers: str) -> dict[str, Any]:
    """Have one file analysed and wait until it is recorded."""
    files = {"file": data}
    answer = httpx.post(f"{server.url}/v1/predict", files=files, headers=headers).json()
    url = f"{server.url}/v1/analyses/{answer['id']}"

    def recorded() -> bool:
        found = httpx.get(url)
        assert found.status_code in (200, 404), found.text
        return found.status_code == 200

    wait_for(recorded)
    result: dict[str, Any] = answer
    return result


def listed(server: RunningServer, **query: Any) -> list[dict[str, Any]]:
    answer = httpx.get(f"{server.url}/v1/analyses", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def judge(server: RunningServer, analysis: str, verdict: str, revision: int) -> httpx.Response:
    body = {"verdict": verdict, "note": "<b>right</b>", "revision": revision}
    return httpx.post(f"{server.url}/v1/analyses/{analysis}/reviews", json=body)


def test_an_answer_is_recorded(kept: RunningServer) -> None:
    answer = send(kept, pictures.png())
    [item] = listed(kept)
    assert item["source"] == "upload"
    assert item["caller"] == "anonymous"
    assert item["review"] is None
    assert item["image"] | {"device": None} == {
        "rows": answer["image"]["height"],
        "columns": answer["image"]["width"],
        "bits": 8,
        **dict.fromkeys(("manufacturer", "device", "view", "age_band", "sex")),
    }
    names = ("model", "score", "p_value", "threshold", "decision", "ood_score", "warnings", "id")
    assert {name: item[name] for name in names} == {name: answer[name] for name in names}
    assert httpx.get(f"{kept.url}/v1/analyses/{answer['id']}").json() == item


def test_picture_and_map_are_kept_as_they_were(kept: RunningServer) -> None:
    answer = send(kept, pictures.png())
    url = f"{kept.url}/v1/analyses/{answer['id']}"
    image = httpx.get(f"{url}/image")
    assert image.headers["content-type"] == "image/png"
    assert image.content == pictures.png()
    raw = httpx.post(
        f"{kept.url}/v1/predict/map?style=raw16", files={"file": pictures.png()}
    ).content
    assert httpx.get(f"{url}/map").content == raw


def test_header_facts_without_names(kept: RunningServer, tmp_path: Path) -> None:
    source = dataset(
        Manufacturer="ACME",
        ManufacturerModelName="DX 1",
        PatientAge="047Y",
        PatientSex="F",
        PatientName="Doe^Jane",
        PatientID="secret-7",
        ViewPosition="PA",
    )
    uid = source.SOPInstanceUID.encode()
    send(kept, written(source), **{"X-WSCXR-Source": "pacs"})
    [item] = listed(kept)
    assert item["source"] == "pacs"
    found = {key: item["image"][key] for key in ("manufacturer", "device", "age_band", "sex")}
    assert found == {"manufacturer": "ACME", "device": "DX 1", "age_band": "40-49", "sex": "F"}
    stored = (tmp_path / "records.sqlite3").read_bytes()
    stored += (tmp_path / "records.sqlite3-wal").read_bytes()
    assert item["id"].encode() in stored
    for private in (b"Doe", b"secret-7", uid):
        assert private not in stored


def test_two_readers_do_not_overwrite_each_other(kept: RunningServer) -> None:
    analysis = send(kept, pictures.png())["id"]
    first = judge(kept, analysis, "abnormal", 0)
    assert first.status_code == 201
    review = first.json()
    assert (review["verdict"], review["note"], review["revision"]) == (
        "abnormal",
        "<b>right</b>",
        1,
    )
    second = judge(kept, analysis, "normal", 0)
    check_problem(second, 409, "review_conflict")
    assert second.json()["review"] == review
    assert judge(kept, analysis, "normal", 1).json()["revision"] == 2
    assert listed(kept)[0]["review"]["verdict"] == "normal"
    assert listed(kept, reviewed=False) == []
    assert len(listed(kept, reviewed=True)) == 1


def test_a_review_of_an_analysis_that_is_gone(kept: RunningServer) -> None:
    gone = "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55"
    check_problem(judge(kept, gone, "normal", 0), 404, "analysis_not_found")
    for path in ("", "/image", "/map"):
        answer = httpx.get(f"{kept.url}/v1/analyses/{gone}{path}")
        check_problem(answer, 404, "analysis_not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"verdict": "maybe", "revision": 0}',
        b'{"verdict": "normal"}',
        b'{"verdict": "normal", "revision": -1}',
        b'{"verdict": "normal", "revision": 0, "more": 1}',
        b'{"verdict": "normal", "revision": 0, "note": "' + b"x" * 2001 + b'"}',
        b'{"verdict": "normal", "revision": 0, "note": "a\\u0000b"}',
        b'{"verdict": "normal", "revision": 0, "note": "\\ud800"}',
    ],
)
def test_reviews_that_are_none(kept: RunningServer, body: bytes) -> None:
    analysis = send(kept, pictures.png())["id"]
    answer = httpx.post(
        f"{kept.url}/v1/analyses/{analysis}/reviews",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    check_problem(answer, 422, "invalid_request")
    assert listed(kept)[0]["review"] is None


@pytest.mark.parametrize("order", ["newest", "unusual"])
def test_pages_hold_every_analysis_once(kept: RunningServer, order: str) -> None:
    ids = [send(kept, pictures.png(seed=seed))["id"] for seed in range(5)]
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"order": order, "limit": 2}
    while True:
        page = httpx.get(f"{kept.url}/v1/analyses", params=query).json()
        found += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert sorted(item["id"] for item in found) == sorted(ids)
    if order == "newest":
        assert [item["id"] for item in found] == ids[::-1]
    else:
        keys = [(item["p_value"], -item["score"]) for item in found]
        assert keys == sorted(keys)


def test_filters(kept: RunningServer) -> None:
    item = send(kept, pictures.png())
    other = {"normal": "abnormal", "abnormal": "normal"}[item["decision"]]
    assert len(listed(kept, decision=item["decision"], model="tiny", source="upload")) == 1
    assert listed(kept, decision=other) == []
    assert listed(kept, model="none") == []
    assert listed(kept, source="pacs") == []
    assert len(listed(kept, since="2020-01-01T00:00:00")) == 1
    for name, value in [
        ("cursor", "x"),
        ("model", "\0"),
        ("since", "0001-01-01T00:00:00+23:59"),
        ("since", "9999-12-31T23:59:59-23:59"),
    ]:
        bad = httpx.get(f"{kept.url}/v1/analyses", params={name: value})
        check_problem(bad, 422, "invalid_request")


def test_a_picture_that_was_not_kept(store: Path, tmp_path: Path) -> None:
    with recording(store, tmp_path) as server:
        analysis = send(server, pictures.png())["id"]
        assert listed(server)[0]["has_image"] is False
        for path in ("image", "map"):
            answer = httpx.get(f"{server.url}/v1/analyses/{analysis}/{path}")
            check_problem(answer, 404, "image_not_kept")


def test_a_picture_that_was_changed_is_not_shown(kept: RunningServer, tmp_path: Path) -> None:
    analysis = send(kept, pictures.png())["id"]
    name = hashlib.sha256(pictures.png()).hexdigest()
    (tmp_path / "pictures" / name[:2] / name).write_bytes(b"other")
    answer = httpx.get(f"{kept.url}/v1/analyses/{analysis}/image")
    check_problem(answer, 404, "image_not_kept")


def test_without_a_record(client: httpx.Client) -> None:
    for path in ("/v1/analyses", "/v1/analyses/0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55/map"):
        check_problem(client.get(path), 404, "records_off")


def test_the_record_outlives_the_service(store: Path, tmp_path: Path) -> None:
    with recording(store, tmp_path) as server:
        answer = send(server, pictures.png())
    with recording(store, tmp_path) as server:
        assert [item["id"] for item in listed(server)] == [answer["id"]]


def test_drift_of_this_week(kept: RunningServer) -> None:
    answer = send(kept, pictures.png())
    report = httpx.get(f"{kept.url}/v1/drift").json()
    [row] = report["rows"]
    assert row["model"] == answer["model"]
    assert (row["n"], row["weeks"], row["comparisons"], row["false_alarms"]) == (1, 4, [], None)
    assert row["abnormal_share"] == (answer["decision"] == "abnormal")
    assert any("fewer than 200 images" in note for note in report["notes"])
    judge(kept, answer["id"], "normal", 0)
    [row] = httpx.get(f"{kept.url}/v1/drift", params={"weeks": 1}).json()["rows"]
    assert row["false_alarms"]["n"] == 1
    check_problem(httpx.get(f"{kept.url}/v1/drift?weeks=0"), 422, "invalid_request")
