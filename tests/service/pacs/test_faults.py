"""Servers that lie, want credentials, or start anew."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.pacs.bridge import Bridge, ServiceAnalyser
from service.pacs.commands import Analysed, analyse_study, make_archive, make_retries
from service.pacs.errors import ArchiveFault, ArchiveRefuses, ArchiveUnavailable
from service.pacs.monitor import PacsMetrics
from service.pacs.settings import PacsSettings
from service.pacs.transport import Server, archive_server, service_server
from tests.dicom_files import dataset
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc, need
from tests.service.pacs.processes import pacs, wait_until_holds
from tests.service.pacs.scorer import Scorer, studies, study, with_results


class Forgetful(httpx.AsyncBaseTransport):
    """Answers 200 to whatever is to be stored, and keeps nothing; the rest is Orthanc's answer."""

    def __init__(self) -> None:
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/studies"):
            return httpx.Response(200, json={})
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


def settings(orthanc: Orthanc, scorer: Scorer, tmp_path: Path, **more: object) -> PacsSettings:
    values = {
        "url": orthanc.url,
        "user": USER,
        "password": PASSWORD,
        "service_url": scorer.url,
        "state": tmp_path / "state.sqlite3",
        "tries": 2,
        "min_pause_s": 0.01,
        **more,
    }
    return PacsSettings.model_validate(values)


def test_an_archive_that_keeps_nothing_is_found_out(
    orthanc: Orthanc, scorer: Scorer, tmp_path: Path
) -> None:
    _, data = study(1)
    orthanc.stow([data])
    given = settings(orthanc, scorer, tmp_path)

    async def run() -> list[Analysed]:
        http = httpx.AsyncClient(base_url=orthanc.url, auth=(USER, PASSWORD), transport=Forgetful())
        archive = Server(http, ArchiveUnavailable, ArchiveRefuses, ArchiveFault, 1_000_000)
        service = service_server(given)
        web = make_archive(given, archive)
        bridge = Bridge(web, ServiceAnalyser(service, None), given.modalities)
        retries = make_retries(given, asyncio.Event(), PacsMetrics(), patient=False)
        try:
            return await analyse_study(web, bridge, retries, dataset(seed=1).StudyInstanceUID)
        finally:
            await archive.close()
            await service.close()

    (done,) = asyncio.run(run())
    assert (done.outcome.ending, done.outcome.code) == ("failed", "result_not_kept")
    assert len(scorer.calls) == 2


def test_analyze_one_study_twice(orthanc: Orthanc, scorer: Scorer, tmp_path: Path) -> None:
    both = studies(2)
    orthanc.stow(list(both.values()))
    chosen, uid = next(iter(both)), str(dataset(seed=0).StudyInstanceUID)
    first = pacs(["analyze", "--study", uid], orthanc, scorer, tmp_path / "a")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{chosen}\tstored\t-\n"
    second = pacs(["analyze", "--study", uid], orthanc, scorer, tmp_path / "a")
    assert second.returncode == 0
    assert sorted(line.split("\t")[1] for line in second.stdout.splitlines()) == ["own", "present"]
    assert len(orthanc.sops()) == 3
    unknown = pacs(["analyze", "--study", "1.2.3"], orthanc, scorer, tmp_path / "a")
    assert unknown.returncode == 1
    assert "study_not_found" in unknown.stderr
    refused = pacs(["analyze", "--study", "../x"], orthanc, scorer, tmp_path / "a")
    assert refused.returncode == 3


@pytest.mark.slow
def test_wrong_password_is_told_and_loses_nothing(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher, tmp_path: Path
) -> None:
    some = studies(2)
    orthanc.stow(list(some.values()))
    wrong = tmp_path / "wrong"
    wrong.write_text("something else")
    uid = str(dataset(seed=0).StudyInstanceUID)
    folder = tmp_path / "a"
    told = pacs(
        ["analyze", "--study", uid], orthanc, scorer, folder, tries="2", password_file=str(wrong)
    )
    assert told.returncode == 1
    assert "pacs_refuses" in told.stderr
    watch()
    wait_until_holds(orthanc, with_results(list(some)))


@pytest.mark.slow
def test_archive_that_counts_anew_is_read_from_its_beginning(
    orthanc: Orthanc, watch: StartWatcher, tmp_path: Path
) -> None:
    some = studies(3)
    orthanc.stow(list(some.values()))
    watch()
    wait_until_holds(orthanc, with_results(list(some)))
    orthanc.stop()
    shutil.rmtree(tmp_path / "orthanc" / "db")
    orthanc.start()
    sop, data = study(77)
    orthanc.stow([data])
    wait_until_holds(orthanc, with_results([sop]))


def test_private_certificate_authority(tmp_path: Path) -> None:
    need(shutil.which("openssl") is not None, "openssl")
    # Not with Orthanc: Debian's 1.10.1 dies of its first TLS connection.
    pem, key = tmp_path / "server.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    made = [
        *command.split(),
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(pem),
    ]
    subprocess.run(made, check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    secure = Scorer(certificate=pem)
    secure.start()

    async def ask(**more: object) -> int:
        server = archive_server(PacsSettings.model_validate({"url": secure.url, **more}))
        try:
            return (await server.send("GET", "health/ready")).status
        finally:
            await server.close()

    try:
        with pytest.raises(ArchiveUnavailable):
            asyncio.run(ask())
        assert asyncio.run(ask(ca_file=pem)) == 200
    finally:
        secure.stop()


def test_bearer_token_and_api_key_are_sent(scorer: Scorer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("of-the-archive\n")
    given = PacsSettings.model_validate(
        {
            "url": scorer.url,
            "token_file": token,
            "service_url": scorer.url,
            "service_key": "of-the-service",
        }
    )

    async def run() -> None:
        for server in (archive_server(given), service_server(given)):
            await server.send("POST", "v1/predict/dicom", file=study(1)[1])
            await server.close()

    asyncio.run(run())
    assert scorer.headers[0]["authorization"] == "Bearer of-the-archive"
    assert scorer.headers[1]["x-api-key"] == "of-the-service"
    assert "of-the" not in repr(given)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"url": "http://user:word@pacs"},
        {"url": "http://pacs", "user": "a"},
        {"url": "http://pacs", "token": "a", "user": "b", "password": "c"},
        {"url": "http://pacs", "token_file": "/nowhere/at/all"},
        {"url": "http://pacs", "ca_file": "/nowhere/at/all"},
        {"url": "http://pacs", "kind": "fax"},
    ],
)
def test_settings_that_cannot_be_used(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        PacsSettings.model_validate(values)
