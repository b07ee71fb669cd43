"""Health checks, from start to stop."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.scoring import registry
from service.scoring.registry import load_bundles
from service.settings import Settings
from tests.service import pictures
from tests.service.serving import PATIENCE_S, check_problem, make_settings
from wscxr.bundle.bundle import Bundle


@pytest.fixture
def slow_loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    go = threading.Event()

    def load(settings: Settings) -> list[Bundle]:
        assert go.wait(PATIENCE_S)
        return load_bundles(settings)

    monkeypatch.setattr(registry, "load_bundles", load)
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
            await app.state.registry.close()
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
