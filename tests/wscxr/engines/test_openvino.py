import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.helpers import ENGINE, SIZE, random_backbone
from wscxr.anatomy import LungNetwork, shipped_lung_network
from wscxr.choices import EngineName, Precision
from wscxr.engines import Blueprint, open_engine
from wscxr.engines.engine import Engine, Network
from wscxr.errors import EngineUnavailable
from wscxr.model.features import feature_blueprint

pytest.importorskip("openvino", reason="pip install 'wscxr[openvino]'")


def openvino_engine(precision: str = "float32", cache: Path | None = None) -> Engine:
    return open_engine("cpu", "openvino", precision, cache)


def images(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def tiny(key: str = "tiny") -> Blueprint:
    backbone = random_backbone()
    return feature_blueprint(backbone.config, SIZE, 3, key, lambda: backbone)


@pytest.fixture(scope="module")
def network() -> Network:
    return openvino_engine().prepare(tiny())


def test_float32_agrees_with_pytorch(network: Network) -> None:
    [expected] = ENGINE.prepare(tiny()).run(images(3))
    [found] = network.run(images(3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_lung_network_agrees_with_pytorch() -> None:
    blueprint = LungNetwork.blueprint("shipped", shipped_lung_network)
    picture = np.random.default_rng(0).uniform(size=(1, *blueprint.shape)).astype(np.float32)
    [expected] = ENGINE.prepare(blueprint).run(picture)
    [found] = openvino_engine().prepare(blueprint).run(picture)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("architecture", "layers", "size"),
    [
        ("regnet_x_400mf", (), 64),
        ("densenet121", (), 64),
        ("vit_b_16", ("encoder.layers.encoder_layer_1",), 32),
    ],
)
@pytest.mark.slow
def test_other_architectures_too(architecture: str, layers: tuple[str, ...], size: int) -> None:
    backbone = random_backbone(architecture, layers, size)
    blueprint = feature_blueprint(backbone.config, size, 3, "", lambda: backbone)
    batch = np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)
    [expected] = ENGINE.prepare(blueprint).run(batch)
    [found] = openvino_engine().prepare(blueprint).run(batch)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_what_an_image_is_computed_with_changes_nothing(network: Network) -> None:
    [together] = network.run(images(7))
    for number, image in enumerate(images(7)):
        [alone] = network.run(image[None])
        np.testing.assert_array_equal(alone[0], together[number])


def test_several_threads_may_run_it(network: Network) -> None:
    [expected] = network.run(images(8))
    with ThreadPoolExecutor(4) as pool:
        for [found] in pool.map(lambda _: network.run(images(8)), range(8)):
            np.testing.assert_array_equal(found, expected)


def test_several_outputs_come_in_order() -> None:
    class Two(nn.Module):
        def forward(self, batch: Tensor) -> list[Tensor]:
            return [batch.mean(dim=(1, 2, 3)), 2 * batch[:, 1]]

    blueprint = Blueprint(shape=(3, SIZE, SIZE), key="two", build=Two)
    first, second = openvino_engine().prepare(blueprint).run(images(2))
    np.testing.assert_allclose(first, images(2).mean(axis=(1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(second, 2 * images(2)[:, 1], atol=1e-6)


def test_auto_is_float32() -> None:
    identity = openvino_engine("auto").identity
    assert (identity.name, identity.precision) == (EngineName.OPENVINO, Precision.FLOAT32)


def test_bfloat16_is_refused_where_the_processor_does_not_multiply_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import openvino

    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    assert openvino_engine("auto").identity.precision is Precision.FLOAT32
    with pytest.raises(EngineUnavailable, match="does not multiply bfloat16"):
        openvino_engine("bfloat16")


def test_an_exact_network_is_computed_in_float32(network: Network) -> None:
    try:
        engine = openvino_engine("bfloat16")
    except EngineUnavailable:
        pytest.skip("this processor does not multiply bfloat16")
    exact = replace(tiny(), exact=True)
    [found] = engine.prepare(exact).run(images(2))
    np.testing.assert_allclose(found, network.run(images(2))[0], rtol=1e-4, atol=1e-5)


def test_bfloat16_rounds_and_is_near() -> None:
    try:
        engine = openvino_engine("bfloat16")
    except EngineUnavailable:
        pytest.skip("this processor does not multiply bfloat16")
    [exact] = ENGINE.prepare(tiny()).run(images(2))
    [found] = engine.prepare(tiny()).run(images(2))
    assert 1e-4 < np.abs(found - exact).max() / np.abs(exact).max() < 0.05


def test_the_second_start_builds_nothing(tmp_path: Path, network: Network) -> None:
    def never() -> nn.Module:
        raise AssertionError

    cache = tmp_path / "cache"
    openvino_engine(cache=cache).prepare(tiny())
    assert cache.stat().st_mode & 0o777 == 0o700
    again = Blueprint(shape=tiny().shape, key=tiny().key, build=never)
    [found] = openvino_engine(cache=cache).prepare(again).run(images(2))
    np.testing.assert_array_equal(found, network.run(images(2))[0])
    other = Blueprint(shape=tiny().shape, key="other weights", build=never)
    with pytest.raises(AssertionError):
        openvino_engine(cache=cache).prepare(other)


def test_a_damaged_file_is_compiled_again(tmp_path: Path, network: Network) -> None:
    openvino_engine(cache=tmp_path).prepare(tiny())
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    [found] = openvino_engine(cache=tmp_path).prepare(tiny()).run(images(2))
    np.testing.assert_array_equal(found, network.run(images(2))[0])


def test_nothing_reports_that_it_was_used() -> None:
    """OpenVINO's own converter does, over the network."""
    with mock.patch("openvino_telemetry.Telemetry", side_effect=AssertionError):
        openvino_engine().prepare(tiny("another"))


def test_a_network_it_does_not_know_is_an_error() -> None:
    class Strange(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            found: Tensor = torch.special.bessel_j0(batch)
            return found

    with pytest.raises(EngineUnavailable, match="cannot run this network"):
        openvino_engine().prepare(Blueprint(shape=(3, 8, 8), key="", build=Strange))


def test_not_installed_or_not_on_a_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wscxr.device.torch.cuda.device_count", lambda: 1)
    with pytest.raises(EngineUnavailable, match="on the CPU, not on cuda"):
        open_engine("cuda:0", "openvino")
    monkeypatch.setattr("wscxr.engines.choose.find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'wscxr\[openvino\]'"):
        open_engine("cpu", "openvino")


@pytest.mark.parametrize(("engine", "precision"), [("tensorrt", "auto"), ("auto", "float16")])
def test_an_unknown_name_is_an_error(engine: str, precision: str) -> None:
    with pytest.raises(EngineUnavailable, match="is none of auto"):
        open_engine("cpu", engine, precision)


def test_auto_takes_it_on_a_cpu() -> None:
    code = "from wscxr.engines import open_engine; print(open_engine('cpu').identity.name)"
    import subprocess

    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "openvino"
