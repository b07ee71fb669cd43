"""What stopped the service once, sent over a socket."""

import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from tests.dicom_files import dataset, written
from tests.helpers import encode, many_scans
from tests.service import pictures
from tests.service.serving import (
    RunningServer,
    check_problem,
    make_settings,
    running,
    served,
    wait_for,
)

SIDE = 9_900


def post(url: str, data: bytes) -> httpx.Response:
    return httpx.post(f"{url}/v1/predict", files={"file": data}, timeout=60)


def repeated_scans() -> bytes:
    """A progressive JPEG of 9,900 x 9,900 pixels that has its last scan 1,500 times more.

    The header of a small one says that it is large: what it lacks is for the decoder to find out.
    """
    data = bytearray(many_scans(np.asarray(pictures.grey()), extra=1500))
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def in_dicom(stream: bytes) -> bytes:
    source = dataset()
    source.Rows = source.Columns = SIDE
    source.BitsAllocated, source.BitsStored, source.HighBit = 8, 8, 7
    source.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    source.PixelData = encapsulate([stream])
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    return written(source)


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[RunningServer]:
    with running(make_settings(store, decode_workers=2)) as started:
        yield started


def test_repeated_scans_hold_no_decoder(server: RunningServer) -> None:
    """Two of them held both decoders for 220 s; while they come, others are answered at once."""
    jpeg = repeated_scans()
    attacks = [jpeg, jpeg, in_dicom(jpeg), in_dicom(jpeg)]
    with ThreadPoolExecutor(len(attacks) + 1) as pool:
        started = time.monotonic()
        refused = [pool.submit(post, server.url, data) for data in attacks]
        good = pool.submit(post, server.url, pictures.png())
        assert good.result().status_code == 200
        for answer in refused:
            check_problem(answer.result(), 413, "too_many_scans")
        assert time.monotonic() - started < 20
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert post(server.url, pictures.png()).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and needs glibc's malloc_trim")
def test_the_memory_of_large_pictures_is_given_back(store: Path, tmp_path: Path) -> None:
    large = encode(np.asarray(pictures.grey(4_000, 4_000).convert("RGB")), compress_level=1)
    with served(store, tmp_path / "log") as url:
        assert post(url, pictures.png()).status_code == 200
        before = resident(url)
        for _ in range(3):
            assert post(url, large).status_code == 200
        wait_for(lambda: resident(url) < before + 40e6, every_s=0.2)


def resident(url: str) -> float:
    [line] = [
        line
        for line in httpx.get(f"{url}/metrics").text.splitlines()
        if line.startswith("process_resident_memory_bytes ")
    ]
    return float(line.split()[1])
