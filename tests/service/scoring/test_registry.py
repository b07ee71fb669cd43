import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ModelNotFound, ModelRequired
from service.prometheus import Metrics
from service.scoring.registry import Registry, find_bundles, load_bundles
from service.settings import Settings
from tests.service.serving import make_settings
from wscxr.errors import BundleDamaged, BundleError, BundleNotFound, DeviceUnavailable


def fake_store(root: Path, *bundles: str) -> Path:
    for bundle in bundles:
        (root / bundle).mkdir(parents=True)
        (root / bundle / "bundle.json").touch()
    return root


def found(root: Path, wanted: str | None = None) -> list[str]:
    return [f"{b.parent.name}/{b.name}" for b in find_bundles(root, wanted)]


def test_the_latest_version_of_every_name(tmp_path: Path) -> None:
    store = fake_store(tmp_path, "b/9", "b/10", "a/1.9.0", "a/1.10.0", "a/1.10.0rc1")
    assert found(store) == ["a/1.10.0", "b/10"]


def test_one_name_or_one_version(tmp_path: Path) -> None:
    store = fake_store(tmp_path, "b/9", "b/10", "a/1")
    assert found(store, "b") == ["b/10"]
    assert found(store, "b/9") == ["b/9"]


def test_hidden_and_foreign_folders_are_left_out(tmp_path: Path) -> None:
    store = fake_store(tmp_path, "a/1", "a/.2-part", ".trash/1")
    (store / "lost+found" / "x").mkdir(parents=True)
    assert found(store) == ["a/1"]


@pytest.mark.parametrize("wanted", [None, "a", "a/1"])
def test_nothing_to_serve(tmp_path: Path, wanted: str | None) -> None:
    with pytest.raises(BundleNotFound, match="there is no bundle"):
        find_bundles(tmp_path / "nowhere", wanted)


def test_versions_that_cannot_be_compared(tmp_path: Path) -> None:
    store = fake_store(tmp_path, "a/first", "a/second")
    with pytest.raises(BundleError, match="NAME/VERSION"):
        find_bundles(store, None)
    assert found(store, "a/second") == ["a/second"]


def test_a_name_that_fits_no_header(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be served"):
        find_bundles(fake_store(tmp_path, "röntgen/1"), None)


def with_registry(settings: Settings, check: Callable[[Registry], None]) -> None:
    """Check something of a registry that has loaded."""

    async def main() -> None:
        registry = Registry(settings, Metrics(), stop=lambda: None)
        registry.start()
        assert registry._loading is not None
        await registry._loading
        try:
            check(registry)
        finally:
            await registry.close()

    asyncio.run(main())


def test_one_model_needs_no_name(store: Path) -> None:
    def check(registry: Registry) -> None:
        assert registry.default is registry.get(None).bundle
        assert registry.get("tiny").bundle.identity.version == "1"
        with pytest.raises(ModelNotFound):
            registry.get("../tiny")

    with_registry(make_settings(store), check)


def test_several_models_need_one(store: Path, tmp_path: Path) -> None:
    def check(registry: Registry) -> None:
        assert [bundle.identity.name for bundle in registry.bundles] == ["a", "b"]
        assert registry.default is None
        with pytest.raises(ModelRequired):
            registry.get(None)

    for name in ("b", "a"):
        shutil.copytree(store / "tiny", tmp_path / name)
    with_registry(make_settings(tmp_path), check)


@pytest.mark.parametrize(
    ("names", "chosen", "default"),
    [
        (("a", "cxr-pediatric-pneumonia"), None, "cxr-pediatric-pneumonia"),
        (("a", "cxr-pediatric-pneumonia"), "a", "a"),
        (("a", "b"), "b", "b"),
        (("a",), None, "a"),
    ],
)
def test_default_model(
    store: Path, tmp_path: Path, names: tuple[str, ...], chosen: str | None, default: str
) -> None:
    def check(registry: Registry) -> None:
        assert registry.default is registry.get(None).bundle
        assert registry.default is registry.get(default).bundle

    for name in names:
        shutil.copytree(store / "tiny", tmp_path / name)
    with_registry(make_settings(tmp_path, default_model=chosen), check)


def test_a_default_model_that_is_not_served(store: Path) -> None:
    with pytest.raises(BundleNotFound, match="default model other"):
        load_bundles(make_settings(store, default_model="other"))


def test_a_damaged_bundle(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store / "tiny", tmp_path / "tiny")
    with (tmp_path / "tiny/1/discriminator.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleDamaged):
        load_bundles(make_settings(tmp_path))


def test_an_unknown_device(store: Path) -> None:
    with pytest.raises(DeviceUnavailable):
        load_bundles(make_settings(store, device="abacus"))
