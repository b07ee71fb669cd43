"""Invalid values of DICOM files, which libraries like to quote, reach no log."""

import logging
import struct
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydicom.tag import Tag

from tests.dicom_files import dataset, written
from tests.service.serving import clean_environment, served
from wscxr.process import KnownTextFilter

PLANTED = "Planted^7719"
ELEMENTS = {
    "AE": 0x00080055, "AS": 0x00101010, "CS": 0x00100040, "DA": 0x00100030, "DS": 0x00101030,
    "DT": 0x0008002A, "IS": 0x00201206, "LO": 0x00100020, "LT": 0x00104000, "PN": 0x00100010,
    "SH": 0x00080050, "ST": 0x00080081, "TM": 0x00080030, "UC": 0x00189908, "UI": 0x00081195,
    "UR": 0x00081190, "UT": 0x00321060, "SQ": 0x00081110, "US": 0x00280120, "FD": 0x00189073,
}  # fmt: skip
"""An attribute of each VR that holds text or numbers; some have another VR by the dictionary."""


def planted(vr: str) -> bytes:
    """A chest radiograph with a value that is invalid: as its VR has it, too long, or no text."""
    tag = Tag(ELEMENTS[vr])
    source = dataset(seed=vr)
    if tag in source:
        del source[tag]
    value = f"{PLANTED}\\{PLANTED}\x1b".encode() * 3
    value += b" " * (len(value) % 2)
    # By hand: pydicom would not write it.
    head = struct.pack("<HH", tag.group, tag.element) + vr.encode()
    if vr in ("SQ", "UC", "UR", "UT"):
        head += struct.pack("<xxI", len(value))
    else:
        head += struct.pack("<H", len(value))
    whole = written(source)
    first = whole.index(b"\x08\x00\x05\x00CS")
    return whole[:first] + head + value + whole[first:]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("planted")
    for vr in ELEMENTS:
        (folder / f"{vr}.dcm").write_bytes(planted(vr))
    return sorted(folder.iterdir())


def test_the_service_logs_no_value(store: Path, files: list[Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(store, log) as url:
        for path in files:
            for way in ("/v1/predict", "/v1/predict/dicom"):
                answer = httpx.post(f"{url}{way}", files={"file": path.read_bytes()}, timeout=60)
                assert answer.status_code in (200, 422), answer.text
                assert "Planted" not in answer.text or way == "/v1/predict/dicom"
    assert log.read_text().count('"request"') >= 2 * len(files)
    assert "Planted" not in log.read_text()


def test_predict_writes_no_value(store: Path, files: list[Path]) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "wscxr", "predict", str(store / "tiny" / "1")),
            *(*map(str, files), "--device", "cpu"),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 3), ran.stderr
    assert "Planted" not in ran.stdout + ran.stderr


WATCHER = """
import logging, warnings
from wscxr.process import configure_process
configure_process()
{setup}
from pydicom.dataelem import DataElement
from service.pacs.dicomweb import _header_from_json
for tag, vr in {elements}:
    try:
        header = _header_from_json({{tag: {{"vr": vr, "Value": ["Planted^7719"]}}}})
        str(header), [element.value for element in header]
    except ValueError:
        pass
DataElement(0x00100030, "DA", "Planted")
logging.getLogger("pydicom").warning("Invalid value Planted")
logging.getLogger("httpx").error("no answer from %s", "Planted")
warnings.warn("Invalid value for VR DA: Planted")
"""


@pytest.mark.parametrize("setup", ["", "from service.logs import *; configure_logging('info')"])
def test_what_libraries_say_of_a_header_is_not_written(setup: str) -> None:
    """As a command without logging of its own has it, and as service and watcher do."""
    elements = [(f"{tag:08X}", vr) for vr, tag in ELEMENTS.items()]
    program = WATCHER.format(setup=setup, elements=elements)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Planted" not in ran.stderr
    assert "its text is not logged" in ran.stderr


@pytest.mark.parametrize(
    ("logger", "text"),
    [
        ("service.pacs.watcher", "42 done"),
        ("uvicorn.error", "42 done"),
        ("httpx", "test:1 of httpx (its text is not logged)"),
        ("wscxrish", "test:1 of wscxrish (its text is not logged)"),
    ],
)
def test_only_known_text_passes(logger: str, text: str) -> None:
    record = logging.LogRecord(logger, logging.ERROR, "test.py", 1, "%d done", (42,), None)
    assert KnownTextFilter().filter(record)
    assert record.getMessage() == text
