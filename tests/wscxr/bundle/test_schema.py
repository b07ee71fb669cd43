"""Bundles of older schemas, each written by the very code of its time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers import CPU, encode, run_cli
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.schema import CURRENT, upgrade
from wscxr.bundle.store import read_manifest
from wscxr.choices import Align
from wscxr.errors import BundleDamaged, GoldenCheckFailed
from wscxr.imaging import from_array

FIXTURES = Path(__file__).parent / "fixtures"
OLD = sorted(path.name for path in FIXTURES.iterdir())
SCORE = -0.3496337831020355
"""Of `picture`, by the code of the time."""

WITHOUT_OOD = {"schema_1", "schema_2", "schema_2_without_method"}

every_old = pytest.mark.parametrize("name", OLD)


def picture() -> NDArray[np.uint8]:
    y, x = np.indices((64, 64))
    return np.asarray((3 * x + y) % 256, dtype=np.uint8)


def test_there_are_bundles_of_every_older_schema() -> None:
    documents = [json.loads((FIXTURES / name / "1" / "bundle.json").read_text()) for name in OLD]
    assert {document["schema_version"] for document in documents} == set(range(1, CURRENT))
    # The method was named in the midst of schema 2.
    assert [
        name
        for name, document in zip(OLD, documents, strict=True)
        if "method" not in document["training"]
    ] == ["schema_1", "schema_2_without_method"]


@every_old
def test_it_loads_and_scores_as_it_did(name: str) -> None:
    bundle = Bundle.load(FIXTURES / name / "1", CPU)
    found = bundle.predict(picture())
    assert found.score == pytest.approx(SCORE, abs=1e-4)
    assert (found.ood_score is None) == (name in WITHOUT_OOD)
    assert not found.out_of_distribution
    warned = any(warning.startswith("NO OOD SCORER") for warning in found.warnings)
    assert warned == (name in WITHOUT_OOD)
    assert bundle.manifest.training.method == "wscxr"


@every_old
def test_it_looks_at_the_whole_picture_as_it_did(name: str) -> None:
    bundle = Bundle.load(FIXTURES / name / "1", CPU)
    found = bundle.predict(picture())
    assert bundle.manifest.align is Align.NONE
    assert found.lung_fields is None
    # On the detector's own grid.
    radiograph = from_array(picture())
    maps, _ = bundle.detector.detect(bundle.prepare(radiograph).tensor[None])
    assert torch.equal(torch.from_numpy(found.anomaly_map), maps[0])


@every_old
def test_its_identity_is_that_of_the_file(name: str) -> None:
    path = FIXTURES / name / "1"
    recorded = json.loads((path / "bundle.json").read_text())["sha256"]
    assert Bundle.load(path, CPU).identity.model_dump() == {
        "name": name,
        "version": "1",
        "sha256": recorded,
    }


@every_old
def test_damage_is_noticed_as_in_the_current_schema(name: str, tmp_path: Path) -> None:
    path = tmp_path / "1"
    shutil.copytree(FIXTURES / name / "1", path)
    document = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps(document | {"p": 5}))
    with pytest.raises(BundleDamaged, match="its own hash is wrong"):
        read_manifest(path)
    lacking = {
        key: value for key, value in document.items() if key not in ("head", "discriminator")
    }
    (path / "bundle.json").write_text(json.dumps(lacking))
    with pytest.raises(BundleDamaged):
        read_manifest(path)


@every_old
def test_the_golden_check_still_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wscxr.bundle.golden.TOLERANCE", -1.0)
    with pytest.raises(GoldenCheckFailed):
        Bundle.load(FIXTURES / name / "1", CPU)


@every_old
def test_it_can_be_written_in_the_current_schema(name: str, tmp_path: Path) -> None:
    old = Bundle.load(FIXTURES / name / "1", CPU)
    written = old.write(tmp_path / "2")
    assert written.schema_version == CURRENT
    again = Bundle.load(tmp_path / "2", CPU)
    assert again.predict(picture()).score == old.predict(from_array(picture())).score
    assert ("No answer has an OOD score" in again.card) == (name in WITHOUT_OOD)
    assert "| looks at |" not in again.card


def test_upgrading_leaves_the_current_schema_and_its_argument_alone() -> None:
    document = json.loads((FIXTURES / "schema_1" / "1" / "bundle.json").read_text())
    before = json.dumps(document)
    upgraded = upgrade(document)
    assert json.dumps(document) == before
    assert upgrade(upgraded) == upgraded


def test_the_command_line_says_that_there_is_no_ood_score(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(picture()))
    out = tmp_path / "p.json"
    ran = run_cli("predict", FIXTURES / "schema_1" / "1", tmp_path / "a.png", "--json", out)
    assert ran.code == 0, ran.err
    assert "NO OOD SCORER" in ran.err
    assert "none" in ran.out
    [row] = json.loads(out.read_text())
    assert row["ood_score"] is None
    assert any(warning.startswith("NO OOD SCORER") for warning in row["warnings"])
