"""A small part of `benchmarks.chaos`: whoever is killed, each study gets exactly one result set."""

from pathlib import Path

import pytest

from tests.service.pacs.chaos import ARCHIVE, SERVICE, WATCHER, survive
from tests.service.pacs.orthanc import installed, need


@pytest.mark.slow
def test_each_study_has_one_result_set(store: Path, tmp_path: Path) -> None:
    need(installed(), "orthanc orthanc-dicomweb dcmtk")
    survived = survive(tmp_path, store, studies=9, kills=4)
    assert set(survived.kills) == {WATCHER, SERVICE, ARCHIVE}
    assert sum(survived.kills.values()) == 4
    assert survived.health["ok"] > 0
