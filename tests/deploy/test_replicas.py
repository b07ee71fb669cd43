"""Replicas behind a real HAProxy, probed and replaced as the chart has Kubernetes do it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import write_tiny_bundle

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("WSCXR_TEST_REPLICAS") != "1",
    reason="NOT TESTED: WSCXR_TEST_REPLICAS=1 rolls, kills and hangs replicas for five minutes",
)
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="NOT TESTED: haproxy is not installed")
def test_requests_survive_what_happens_to_replicas(tmp_path: Path) -> None:
    """A rolling update fails no request, a crash only what was under way; a replica that hangs
    gets no more.
    """
    pytest.importorskip("yaml", reason="NOT TESTED: `make deploy-tools` installs PyYAML")
    write_tiny_bundle(tmp_path / "tiny" / "1")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.replicas", "--model-store", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
