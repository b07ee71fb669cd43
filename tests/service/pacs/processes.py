"""The watcher as an operator runs it: a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.pacs.scorer import Scorer
from tests.service.serving import PATIENCE_S, clean_environment, wait_for


def environment(
    archive: Orthanc,
    scorer: Scorer,
    folder: Path,
    *,
    own: Mapping[str, str] | None = None,
    **more: str,
) -> dict[str, str]:
    """Settings of a watcher; `own` are other variables, by their whole names."""
    folder.mkdir(exist_ok=True)
    password = folder / "password"
    password.write_text(PASSWORD)
    kind = more.get("kind", "orthanc")
    settings = {
        "url": archive.url if kind == "orthanc" else f"{archive.url}/dicom-web",
        "user": USER,
        "password_file": str(password),
        "service_url": scorer.url,
        "state": str(folder / "state.sqlite3"),
        "poll_s": "0.1",
        "min_pause_s": "0.05",
        "max_pause_s": "0.5",
        **more,
    }
    return clean_environment("WSCXR_PACS_", **settings) | dict(own or {})


def pacs(
    command: list[str],
    archive: Orthanc,
    scorer: Scorer,
    folder: Path,
    *,
    own: Mapping[str, str] | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``wscxr pacs ...`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "wscxr", "pacs", *command],
        env=environment(archive, scorer, folder, own=own, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class WatcherProcess:
    """``wscxr pacs watch``, with all it writes in one folder."""

    def __init__(
        self,
        archive: Orthanc,
        scorer: Scorer,
        folder: Path,
        *,
        own: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        env = environment(archive, scorer, folder, own=own, **more)
        self.output = folder / "output"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wscxr", "pacs", "watch"],
                env=env,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to stop, as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    @property
    def running(self) -> bool:
        return self.process.poll() is None


def get(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S)


def wait_until_holds(archive: Orthanc, expected: list[str]) -> None:
    """Wait until exactly these instances are in the archive."""

    def complete() -> bool:
        return len(archive.sops()) >= len(expected)

    wait_for(complete, every_s=0.1)
    assert archive.sops() == sorted(expected)
