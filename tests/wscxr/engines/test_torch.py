from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.helpers import CPU, ENGINE
from wscxr.choices import EngineName, Precision
from wscxr.engines import Blueprint, open_engine
from wscxr.engines.cuda import BUCKETS, in_buckets
from wscxr.engines.torch_engine import TorchEngine


def images(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 3, 8, 8)).astype(np.float32)


def convolution() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(3, 4, kernel_size=3)


def blueprint(module: nn.Module, *, one_core: bool = False) -> Blueprint:
    return Blueprint(shape=(3, 8, 8), key="", build=lambda: module, one_core=one_core)


def test_float32_is_the_module_itself() -> None:
    module = convolution()
    [found] = ENGINE.prepare(blueprint(module)).run(images(5))
    with torch.no_grad():
        np.testing.assert_array_equal(found, module(torch.from_numpy(images(5))).numpy())


def test_several_outputs_come_in_order() -> None:
    class Two(nn.Module):
        def forward(self, batch: Tensor) -> list[Tensor]:
            return [batch[:, 0], 2 * batch[:, 1]]

    first, second = ENGINE.prepare(blueprint(Two())).run(images(2))
    np.testing.assert_array_equal(first, images(2)[:, 0])
    np.testing.assert_array_equal(second, 2 * images(2)[:, 1])


def test_bfloat16_computes_in_it_and_gives_float32() -> None:
    module = convolution()
    seen: list[torch.dtype] = []
    module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    [found] = TorchEngine(CPU, Precision.BFLOAT16).prepare(blueprint(module)).run(images(1))
    assert seen == [torch.bfloat16]
    assert found.dtype == np.float32
    [exact] = ENGINE.prepare(blueprint(convolution())).run(images(1))
    np.testing.assert_allclose(found, exact, atol=0.05)
    assert not np.array_equal(found, exact)


def test_a_small_network_runs_on_one_core() -> None:
    class Threads(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return torch.full((len(batch),), float(torch.get_num_threads()))

    before = torch.get_num_threads()
    [alone] = ENGINE.prepare(blueprint(Threads(), one_core=True)).run(images(1))
    [together] = ENGINE.prepare(blueprint(Threads())).run(images(1))
    assert (alone[0], together[0]) == (1, before)
    assert torch.get_num_threads() == before


def test_several_threads_may_run_it() -> None:
    network = ENGINE.prepare(blueprint(convolution()))
    [expected] = network.run(images(1))
    with ThreadPoolExecutor(4) as pool:
        for [found] in pool.map(lambda _: network.run(images(1)), range(16)):
            np.testing.assert_array_equal(found, expected)


def test_auto_on_a_cpu_is_float32() -> None:
    engine = open_engine(CPU, EngineName.TORCH)
    assert engine.identity.model_dump(mode="json") == {"name": "torch", "precision": "float32"}
    assert (engine.device, engine.batch) == ("cpu", 4)


@pytest.mark.parametrize(
    ("multiplied", "expected"), [(True, Precision.BFLOAT16), (False, Precision.FLOAT32)]
)
def test_auto_on_a_gpu_is_what_it_multiplies(
    monkeypatch: pytest.MonkeyPatch, *, multiplied: bool, expected: Precision
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        return multiplied or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    engine = TorchEngine(torch.device("cuda", 0))
    assert engine.identity.precision is expected
    assert (engine.device, engine.batch) == ("cuda:0", BUCKETS[-1])


def test_a_network_on_a_gpu_becomes_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: that the path is taken, not what it computes."""
    made: list[tuple[object, ...]] = []
    monkeypatch.setattr(nn.Module, "to", lambda module, _device: module)
    monkeypatch.setattr(
        "wscxr.engines.torch_engine.CudaNetwork", lambda *arguments: made.append(arguments)
    )
    engine = TorchEngine(torch.device("cuda", 0), Precision.BFLOAT16)
    engine.prepare(blueprint(convolution()))
    [(_, shape, device)] = made
    assert (shape, device) == ((3, 8, 8), torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(1, 1)]),
        (3, [(3, 4)]),
        (32, [(32, 32)]),
        (33, [(32, 32), (1, 1)]),
        (70, [(32, 32), (32, 32), (6, 8)]),
    ],
)
def test_any_batch_is_cut_to_sizes_that_have_a_graph(
    count: int, expected: list[tuple[int, int]]
) -> None:
    parts = list(in_buckets(count))
    assert [(part.stop - part.start, bucket) for part, bucket in parts] == expected
    assert [number for part, _ in parts for number in range(count)[part]] == list(range(count))
