import shutil
from pathlib import Path

import httpx

from tests.service import pictures
from tests.service.serving import check_problem, make_settings, running


def test_models(client: httpx.Client) -> None:
    [summary] = client.get("/v1/models").json()["models"]
    assert summary["name"] == "tiny"
    assert summary["default"] is True
    assert summary["backbone"]["architecture"] == "resnet18"
    assert summary["input"]["size"] == 64
    assert summary["calibration"]["n"] == 40
    assert summary["calibration"]["images"] == "training"
    assert summary["population"] is None
    assert summary["training"] == {
        "method": "wscxr",
        "n_normal": 100,
        "n_calibration": 40,
        "k": 4,
        "seed": 0,
    }
    assert "RANDOM BACKBONE" in summary["warnings"][0]
    detail = client.get("/v1/models/tiny").json()
    assert detail.pop("card").startswith("# Model card")
    assert detail == summary
    check_problem(client.get("/v1/models/other"), 404, "model_not_found")


def test_several_models(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(store / "tiny", tmp_path / name)
    files = {"file": pictures.png()}
    with running(make_settings(tmp_path)) as server, httpx.Client(base_url=server.url) as client:
        assert [m["default"] for m in client.get("/v1/models").json()["models"]] == [False] * 2
        check_problem(client.post("/v1/predict", files=files), 422, "model_required")
        response = client.post("/v1/predict?model=b", files=files)
        assert response.json()["model"]["name"] == "b"
