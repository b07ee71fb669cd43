"""The image, run by the compose file with all its options; `make image-test` does this.

``WSCXR_TEST_IMAGE`` names the image, ``WSCXR_TEST_ORTHANC_IMAGE`` one for the profile ``pacs``.
"""

import contextlib
import json
import logging
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import dicom_files
from tests.deploy.containers import Project, find_compose, find_engine
from tests.service import pictures
from tests.service.serving import PATIENCE_S, free_port, wait_for

logger = logging.getLogger(__name__)

IMAGE = os.environ.get("WSCXR_TEST_IMAGE", "")
ORTHANC_IMAGE = os.environ.get("WSCXR_TEST_ORTHANC_IMAGE", "")
MEMORY_LIMIT_KIB = 2_000_000
PASSWORD = "a-password-for-the-test"

pytestmark = pytest.mark.skipif(not IMAGE, reason="NOT TESTED: WSCXR_TEST_IMAGE names no image")


class Served(Project):
    """The compose project, with the address of the service."""

    url: str
    orthanc: str
    dicom_port: int

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def project() -> Iterator[Served]:
    """The project before anything is started; taken down at the end."""
    # Its lines would drown the figures that these tests log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    engine = find_engine()
    compose = find_compose(engine) if engine else None
    assert engine is not None, "neither docker nor podman works here"
    assert compose is not None, "neither docker compose nor podman-compose is here"
    http, web, dicom = free_port(), free_port(), free_port()
    made = Served(
        engine,
        compose,
        "wscxr-image-test",
        WSCXR_IMAGE=IMAGE,
        WSCXR_ORTHANC_IMAGE=ORTHANC_IMAGE,
        WSCXR_PUBLISH=f"127.0.0.1:{http}",
        WSCXR_PUBLISH_ORTHANC=f"127.0.0.1:{web}",
        WSCXR_PUBLISH_DICOM=f"127.0.0.1:{dicom}",
        WSCXR_PACS_PASSWORD=PASSWORD,
    )
    made.url, made.orthanc, made.dicom_port = (
        f"http://127.0.0.1:{http}",
        f"http://127.0.0.1:{web}",
        dicom,
    )
    yield made
    made.down()


@pytest.fixture(scope="module")
def served(project: Served) -> Served:
    """The service, ready."""
    start = time.monotonic()
    project.compose("up", "--detach", "wscxr")
    wait_for(project.ready)
    logger.info(f"ready {time.monotonic() - start:.1f} s after compose up")
    return project


def dicom(seed: int = 0) -> bytes:
    """A computed radiograph of 3.7 megapixels."""
    return dicom_files.written(
        dicom_files.dataset(dicom_files.picture(12, 2048, 1792, seed), seed=seed)
    )


@pytest.mark.parametrize(
    "file", [pictures.png(width=1024, height=1024), dicom()], ids=["PNG", "DICOM"]
)
def test_it_scores(served: Served, file: bytes) -> None:
    answer = httpx.post(
        f"{served.url}/v1/predict?map=base64", files={"file": file}, timeout=PATIENCE_S
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["decision"]


def test_its_user_has_no_rights(served: Served) -> None:
    status = served.execute("wscxr", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"10001"}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize("place", ["/", "/opt/wscxr", "/model_store", "/etc"])
def test_it_cannot_write(served: Served, place: str) -> None:
    code = f"open({place!r} + '/written', 'w')"
    failed = served.command("exec", served.container("wscxr"), "python", "-c", code, check=False)
    assert failed.returncode == 1
    assert "Read-only file system" in failed.stderr or "Permission denied" in failed.stderr


def test_its_temporary_folder_is_bounded(served: Served) -> None:
    size = served.python(
        "wscxr", "import os; s = os.statvfs('/tmp'); print(s.f_blocks * s.f_frsize)"
    )
    assert int(size) == 256 * 1024**2


def test_memory(served: Served) -> None:
    peak = served.python(
        "wscxr",
        "from pathlib import Path\n"
        "peaks = [line.split()[1] for file in Path('/proc').glob('[0-9]*/status')"
        " for line in file.read_text().splitlines() if line.startswith('VmHWM')]\n"
        "print(max(map(int, peaks)))",
    )
    logger.info(f"peak memory {int(peak) / 1e6:.2f} GB")
    assert int(peak) < MEMORY_LIMIT_KIB
    assert served.inspect("wscxr")["HostConfig"]["Memory"] == 4 * 1024**3


def test_health_check(served: Served) -> None:
    if served.engine == "podman":
        # Where there is no systemd nothing calls it at intervals.
        served.command("healthcheck", "run", served.container("wscxr"))
    else:
        wait_for(lambda: served.inspect("wscxr")["State"]["Health"]["Status"] == "healthy")


def test_what_is_left_out(served: Served) -> None:
    absent = [
        "anomalib",
        "hypothesis",
        "matplotlib",
        "mypy",
        "pip",
        "pytest",
        "ruff",
        "sklearn",
        "uv",
    ]
    code = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert served.python("wscxr", code).strip() == "[]"
    sought = "gcc cc c++ g++ make nvcc"
    assert served.execute("wscxr", "sh", "-c", f"command -v {sought} || true").strip() == ""
    names = r"\( -name .cache -o -name 'torchinductor*' -o -name .triton \)"
    find = f"find / -xdev {names} 2>/dev/null || true"
    assert served.execute("wscxr", "sh", "-c", find).strip() == ""


def test_bill_of_materials(served: Served) -> None:
    bill = json.loads(served.execute("wscxr", "cat", "/opt/wscxr/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {item["name"].lower(): item.get("version") for item in bill["components"]}
    installed = json.loads(
        served.python(
            "wscxr",
            "import importlib.metadata as m, json\n"
            "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))",
        )
    )
    assert "torch" in listed
    assert listed.items() >= installed.items()


def test_sigterm_under_load(served: Served) -> None:
    """Every request that was sent before the signal is answered, and the exit code is 0."""
    outcomes: list[tuple[float, str]] = []
    stop = threading.Event()
    body = pictures.png(width=1024, height=1024)

    def post() -> None:
        while not stop.is_set():
            begun = time.monotonic()
            try:
                answer = httpx.post(
                    f"{served.url}/v1/predict", files={"file": body}, timeout=PATIENCE_S
                )
                outcome = str(answer.status_code)
            except httpx.TransportError as error:
                outcome = type(error).__name__
            outcomes.append((begun, outcome))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(outcomes) >= 8)
    container = served.container("wscxr")
    signalled = time.monotonic()
    served.command("stop", "--time", "30", container)
    took = time.monotonic() - signalled
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    before = Counter(outcome for begun, outcome in outcomes if begun < signalled)
    after = Counter(outcome for begun, outcome in outcomes if begun >= signalled)
    logger.info(f"stopped in {took:.1f} s; begun before the signal {before}, after it {after}")
    # Where the connection was refused, nothing was sent.
    assert before["200"] >= 8
    assert set(before) <= {"200", "ConnectError"}
    assert set(after) <= {"200", "503", "ConnectError", "ReadError", "RemoteProtocolError"}
    assert served.inspect("wscxr")["State"]["ExitCode"] == 0


def test_without_a_model_store_it_serves_the_default_bundle(project: Served) -> None:
    port = free_port()
    options = ("--detach", "--read-only", "--cap-drop=ALL", f"--publish=127.0.0.1:{port}:8000")
    container = project.command("run", *options, IMAGE).stdout.strip()

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        return False

    try:
        wait_for(answers)
        models = httpx.get(f"http://127.0.0.1:{port}/v1/models").json()["models"]
        assert [model["name"] for model in models] == ["cxr-adult", "cxr-pediatric-pneumonia"]
    finally:
        project.command("rm", "--force", container)


@pytest.mark.skipif(not ORTHANC_IMAGE, reason="NOT TESTED: WSCXR_TEST_ORTHANC_IMAGE names no image")
def test_pacs_profile(project: Served, tmp_path: Path) -> None:
    """From storescu to the results in the archive."""
    project.down()
    project.compose("up", "--detach", profile="pacs")
    with httpx.Client(base_url=project.orthanc, auth=("wscxr", PASSWORD)) as client:

        def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return client.get("/system").status_code == 200
            return False

        def modalities() -> list[str]:
            found = client.get("/series", params={"expand": ""}).json()
            return sorted(series["MainDicomTags"]["Modality"] for series in found)

        wait_for(answers)
        (tmp_path / "chest.dcm").write_bytes(dicom(seed=1))
        start = time.monotonic()
        command = ["storescu", "127.0.0.1", str(project.dicom_port), str(tmp_path / "chest.dcm")]
        subprocess.run(command, check=True, timeout=PATIENCE_S)
        # The radiograph itself, a secondary capture and a structured report.
        wait_for(lambda: len(modalities()) == 3)
        logger.info(f"results {time.monotonic() - start:.1f} s after storescu")
        assert "SR" in modalities()
        assert len(client.get("/studies").json()) == 1
    project.execute(
        "watcher",
        "python",
        "-c",
        "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/health', timeout=4)",
    )
