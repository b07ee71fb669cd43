"""A real Orthanc on loopback, and an independent view of what it holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.multipart import RELATED, related
from tests.service.serving import PATIENCE_S, free_port, wait_for

USER, PASSWORD = "bridge", "not-a-secret"
PLUGINS = Path("/usr/share/orthanc/plugins")
_DICOMWEB = PLUGINS / "libOrthancDicomWeb.so"


def installed() -> bool:
    programs = ("Orthanc", "storescu")
    return all(map(shutil.which, programs)) and _DICOMWEB.exists()


def need(there: bool, packages: str) -> None:
    """Skip a test without these Debian packages; fail where a run demands them."""
    if not there:
        missing = f"needs other programs; on Debian: apt-get install {packages}"
        (pytest.fail if os.environ.get("WSCXR_REQUIRE_ORTHANC") else pytest.skip)(missing)


class Orthanc:
    """One server, its database in a folder; it may be stopped and started again.

    ``more`` is added to its configuration, ``plugins`` to its plugins.
    """

    def __init__(self, folder: Path, plugins: Sequence[Path] = (), **more: Any) -> None:
        self.port, self.dicom_port = more.get("HttpPort", free_port()), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        config: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [str(_DICOMWEB), *map(str, plugins)],
            "HttpPort": self.port,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "OverwriteInstances": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **more,
        }
        (folder / "orthanc.json").write_text(json.dumps(config))

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        command = ["Orthanc", str(self._folder / "orthanc.json")]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        wait_for(self._answers, every_s=0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=(USER, PASSWORD), timeout=PATIENCE_S)

    def stow(self, files: Sequence[bytes]) -> None:
        with self.client() as client:
            for start in range(0, len(files), 10):
                body = related(files[start : start + 10])
                headers = {"Content-Type": RELATED, "Accept": "application/dicom+json"}
                client.post("/dicom-web/studies", content=body, headers=headers).raise_for_status()

    def storescu(self, folder: Path) -> None:
        command = ["storescu", "127.0.0.1", str(self.dicom_port), "+sd", str(folder)]
        subprocess.run(command, check=True, timeout=PATIENCE_S)

    def sops(self) -> list[str]:
        """SOP Instance UIDs of all it holds, by QIDO-RS."""
        with self.client() as client:
            answer = client.get(
                "/dicom-web/instances",
                params={"limit": 1000},
                headers={"Accept": "application/dicom+json"},
            )
        return sorted(item["00080018"]["Value"][0] for item in answer.raise_for_status().json())

    def file(self, sop: str) -> bytes:
        with self.client() as client:
            (found,) = client.post("/tools/lookup", content=sop).raise_for_status().json()
            return client.get(f"{found['Path']}/file").raise_for_status().content

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/system").status_code == 200
        except httpx.HTTPError:
            return False
