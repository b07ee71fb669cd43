"""Forty planted values, two in each file, and whole processes: none may be written anywhere."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.tag import Tag

from tests.dicom_files import dataset, written
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import get, pacs
from tests.service.pacs.scorer import Scorer
from tests.service.serving import free_port, served, wait_for
from tests.service.test_privacy import ELEMENTS

LONG = {"SQ", "UC", "UR", "UT"}
"""VRs with a length of four bytes (PS3.5, 7.1.2)."""


def values(vr: str) -> tuple[str, str]:
    return f"Quaffle{vr}One", f"Quaffle{vr}Two"


PLANTED = [value for vr in ELEMENTS for value in values(vr)]


def planted(vr: str) -> tuple[str, bytes]:
    """SOP Instance UID and file with an element of a VR that holds two values it must not hold."""
    tag = Tag(ELEMENTS[vr])
    source = dataset(seed=f"planted {vr}")
    if tag in source:
        del source[tag]
    value = "\\".join(values(vr)).encode() + b"\x1b" + b"?" * 80
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH", tag.group, tag.element) + vr.encode()
    head += struct.pack("<xxI" if vr in LONG else "<H", len(value))
    whole = written(source)
    first = whole.index(b"\x08\x00\x05\x00CS")
    return str(source.SOPInstanceUID), whole[:first] + head + value + whole[first:]


def test_there_are_forty_values() -> None:
    assert len(set(PLANTED)) == 40
    for vr in ELEMENTS:
        _, data = planted(vr)
        assert all(value.encode() in data for value in values(vr))


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["orthanc", "dicomweb", "one process"])
def test_no_process_writes_one(
    orthanc: Orthanc,
    scorer: Scorer,
    watch: StartWatcher,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    temporary, logs = tmp_path / "temporary", tmp_path / "logs"
    temporary.mkdir()
    logs.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    taken = []
    for vr in ELEMENTS:
        sop, data = planted(vr)
        try:
            orthanc.stow([data])
            taken.append(sop)
        except httpx.HTTPStatusError:
            pass  # the archive refuses it; the service gets it all the same, below
    taken = sorted(set(taken) & set(orthanc.sops()))
    assert len(taken) > 10
    port = free_port()
    said = []
    with served(store, logs / "service") as url:
        own = {"WSCXR_MODEL_STORE": str(store), "WSCXR_DEVICE": "cpu"}
        kind = "dicomweb" if form == "dicomweb" else "orthanc"
        watcher = watch(
            own=own,
            kind=kind,
            in_process=form == "one process",
            start="beginning",
            service_url=url,
            metrics_port=port,
            tries=2,
        )
        ended = lambda: watcher.output.read_text().count("instance done") >= len(taken)  # noqa: E731
        wait_for(ended, every_s=0.2)
        limits = Path(f"/proc/{watcher.process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 ", limits)
        for vr in ELEMENTS:
            answer = httpx.post(
                f"{url}/v1/predict", files={"file": (values(vr)[0], planted(vr)[1])}, timeout=300
            )
            said.append(answer.content)
        said.append(httpx.get(f"{url}/metrics").content)
        orthanc.stop()
        wait_for(lambda: get(port, "/health").status_code == 503, every_s=0.2)
        said += [get(port, path).content for path in ("/metrics", "/health")]
        assert watcher.stop() == 0
    listed = pacs(["failed"], orthanc, scorer, tmp_path / "watcher", kind=kind)
    said += [listed.stdout.encode(), listed.stderr.encode()]
    kept = [*files_below(temporary), *files_below(logs), *files_below(tmp_path / "watcher")]
    assert any(path.name.startswith("state.sqlite3") for path in kept)
    for path in kept:
        said += [path.read_bytes(), path.name.encode()]
    everything = b"\n".join(said)
    assert [value for value in PLANTED if value.encode() in everything] == []
