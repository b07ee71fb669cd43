"""The same files, the same scores: in Python, on the command line, and over a real socket.

Of a bundle that looks at the whole picture, and of one that looks at the lungs' box.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tests.helpers import CPU, encode, run_cli
from tests.service.serving import PATIENCE_S, served
from training.data.samples import Label, find_samples
from training.evaluation.evaluate import evaluate
from wscxr.bundle.bundle import Bundle
from wscxr.choices import Align
from wscxr.imaging import Radiograph, read_radiograph
from wscxr.prediction import Prediction

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def files(unseen: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Unseen phantoms of both kinds as PNG, and one each as JPEG and as 16-bit PNG."""
    folder = tmp_path_factory.mktemp("variants")
    source = unseen / "abnormal" / "0001.png"
    with Image.open(source) as image:
        (folder / "photo.jpg").write_bytes(encode(image, "JPEG", quality=90))
        (folder / "deep.png").write_bytes(encode(np.asarray(image).astype(np.uint16) * 16))
        (folder / "wide.png").write_bytes(encode(image.resize((300, 170))))
    return [
        *sorted((unseen / "normal").iterdir()),
        *sorted((unseen / "abnormal").iterdir()),
        *sorted(folder.iterdir()),
    ]


@pytest.fixture(scope="module")
def radiographs(files: list[Path]) -> list[Radiograph]:
    return [read_radiograph(file.read_bytes()) for file in files]


@pytest.fixture(scope="module", params=["trained", "trained_aligned"])
def chosen(request: pytest.FixtureRequest) -> Path:
    """The bundle's folder."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="module")
def bundle(chosen: Path) -> Bundle:
    return Bundle.load(chosen, CPU)


@pytest.fixture(scope="module")
def expected(bundle: Bundle, radiographs: list[Radiograph]) -> list[Prediction]:
    """Python's answer, one image at a time."""
    return [bundle.predict([radiograph])[0] for radiograph in radiographs]


@pytest.fixture(scope="module")
def server(chosen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``wscxr serve`` in its own process."""
    log = tmp_path_factory.mktemp("server") / "log"
    with served(chosen.parent.parent, log) as url:
        yield url
    assert "Application shutdown complete" in log.read_text()


def agrees(answer: dict[str, Any], expected: Prediction) -> None:
    """A JSON answer says what Python says."""
    assert answer["score"] == pytest.approx(expected.score, abs=TOLERANCE)
    assert answer["p_value"] == pytest.approx(expected.p_value)
    assert answer["threshold"] == pytest.approx(expected.threshold)
    assert answer["decision"] == expected.decision.value
    assert answer["ood_score"] == pytest.approx(expected.ood_score, abs=TOLERANCE)
    if expected.lung_fields is None:
        assert answer.get("lung_fields") is None
    else:
        facts = expected.lung_fields.model_dump()
        share = facts.pop("map_share")  # the map's, and so rounded as the batch's size has it
        assert answer["lung_fields"].pop("map_share") == pytest.approx(share, abs=TOLERANCE)
        assert answer["lung_fields"] == facts


def recover(png: bytes) -> "np.ndarray[Any, np.dtype[np.float64]]":
    with Image.open(io.BytesIO(png)) as image:
        assert isinstance(image, PngImageFile)
        offset, slope = (float(image.text[f"score_{key}"]) for key in ("offset", "slope"))
        return offset + slope * np.asarray(image).astype(np.float64)


def test_the_scores_differ_enough_for_parity_to_mean_something(
    expected: list[Prediction],
) -> None:
    scores = [prediction.score for prediction in expected]
    assert np.ptp(scores) > 100 * TOLERANCE
    assert len({round(score, 3) for score in scores}) >= len(scores) - 2


def test_lungs_are_found_where_they_are_looked_for(
    bundle: Bundle, radiographs: list[Radiograph], expected: list[Prediction]
) -> None:
    aligned = bundle.manifest.align is Align.LUNGS
    for radiograph, prediction in zip(radiographs, expected, strict=True):
        assert (prediction.lung_fields is not None) == aligned
        if prediction.lung_fields is not None:
            assert prediction.lung_fields.found
            assert prediction.lung_fields.box is not None
            assert prediction.lung_fields.box.right < radiograph.width


def test_evaluation_agrees_with_python(
    bundle: Bundle, unseen: Path, expected: list[Prediction]
) -> None:
    samples = [
        sample
        for name, label in (("normal", Label.NORMAL), ("abnormal", Label.ABNORMAL))
        for sample in find_samples(unseen / name, label)
    ]
    found = evaluate(bundle, samples).images
    for image, prediction in zip(found, expected, strict=False):
        assert image.score == pytest.approx(prediction.score, abs=TOLERANCE)
        assert image.ood_score == pytest.approx(prediction.ood_score, abs=TOLERANCE)


def test_the_command_line_agrees_with_python(
    chosen: Path, files: list[Path], expected: list[Prediction], tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    maps = tmp_path / "maps"
    ran = run_cli("predict", chosen, *files, "--maps", maps, "--style", "raw16", "--json", out)
    assert ran.code == 0, ran.err
    rows = json.loads(out.read_text())
    assert len(rows) == len(files)
    for row, file, prediction in zip(rows, files, expected, strict=True):
        assert row["image"] == str(file)
        agrees(row, prediction)
        found = recover(Path(row["map"]).read_bytes())
        np.testing.assert_allclose(found, prediction.anomaly_map, rtol=0, atol=1e-3)


def test_http_agrees_with_python(
    server: str, files: list[Path], expected: list[Prediction]
) -> None:
    with httpx.Client(base_url=server, timeout=PATIENCE_S) as client:
        for file, prediction in zip(files, expected, strict=True):
            answer = client.post("/v1/predict", files={"file": file.read_bytes()})
            assert answer.status_code == 200, answer.text
            agrees(answer.json(), prediction)
            png = client.post(
                "/v1/predict/map", params={"style": "raw16"}, files={"file": file.read_bytes()}
            )
            assert png.status_code == 200, png.text
            assert png.headers["content-type"] == "image/png"
            found = recover(png.content)
            np.testing.assert_allclose(found, prediction.anomaly_map, rtol=0, atol=1e-3)


def test_a_batch_over_http_agrees_with_python(
    server: str, files: list[Path], expected: list[Prediction]
) -> None:
    uploads = [("files", (file.name, file.read_bytes())) for file in files]
    answer = httpx.post(f"{server}/v1/predict/batch", files=uploads, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    results = answer.json()["items"]
    assert len(results) == len(files)
    for result, prediction in zip(results, expected, strict=True):
        agrees(result["result"], prediction)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_batch_size_changes_nothing(
    bundle: Bundle,
    radiographs: list[Radiograph],
    expected: list[Prediction],
    size: int,
) -> None:
    found = [
        prediction
        for start in range(0, len(radiographs), size)
        for prediction in bundle.predict(radiographs[start : start + size])
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=TOLERANCE)
        np.testing.assert_allclose(ours.anomaly_map, theirs.anomaly_map, rtol=0, atol=TOLERANCE)


def test_order_changes_nothing(
    bundle: Bundle, radiographs: list[Radiograph], expected: list[Prediction]
) -> None:
    order = np.random.default_rng(0).permutation(len(radiographs)).tolist()
    found = bundle.predict([radiographs[i] for i in order])
    for prediction, i in zip(found, order, strict=True):
        assert prediction.score == pytest.approx(expected[i].score, abs=TOLERANCE)
