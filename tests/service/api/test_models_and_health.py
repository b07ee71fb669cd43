import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.scoring import runtime as runtime_module
from service.scoring.registry import Registry, load_models
from service.settings import Settings
from tests.service import pictures
from tests.service.http.test_bad_input import check_problem
from tests.service.serving import PATIENCE_S, make_settings, running


def test_models(client: httpx.Client) -> None:
    [summary] = client.get("/v1/models").json()["models"]
    assert summary["name"] == "tiny"
    assert summary["default"] is True
    assert summary["backbone"]["architecture"] == "resnet18"
    assert summary["input"]["size"] == 64
    assert summary["calibration"]["n"] == 40
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


@pytest.fixture
def slow_loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    go = threading.Event()

    def load(settings: Settings) -> Registry:
        assert go.wait(PATIENCE_S)
        return load_models(settings)

    monkeypatch.setattr(runtime_module, "load_models", load)
    yield go
    go.set()


def test_live_at_once_ready_when_loaded(store: Path, slow_loading: threading.Event) -> None:
    async def main() -> None:
        app = create_app(make_settings(store))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            assert (await client.get("/health/live")).json() == {"status": "live"}
            response = await client.get("/health/ready")
            check_problem(response, 503, "not_ready")
            assert response.headers["retry-after"] == "1"
            files = {"file": pictures.png()}
            check_problem(await client.post("/v1/predict", files=files), 503, "not_ready")
            check_problem(await client.get("/v1/models"), 503, "not_ready")
            slow_loading.set()
            async with asyncio.timeout(PATIENCE_S):
                while (await client.get("/health/ready")).status_code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (await client.get("/health/ready")).json() == {"status": "ready"}
            await app.state.runtime.close()
            check_problem(await client.get("/health/ready"), 503, "shutting_down")
            check_problem(await client.post("/v1/predict", files=files), 503, "shutting_down")
            assert (await client.get("/health/live")).status_code == 200

    asyncio.run(main())


def test_stopping_while_loading(store: Path, slow_loading: threading.Event) -> None:
    async def main() -> None:
        app = create_app(make_settings(store))
        async with app.router.lifespan_context(app):
            pass
        slow_loading.set()

    asyncio.run(main())
