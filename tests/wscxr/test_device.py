import pytest
import torch

from wscxr.device import resolve_device
from wscxr.errors import DeviceUnavailable


def cuda_devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, 0)
    assert resolve_device("auto") == torch.device("cpu")
    cuda_devices(monkeypatch, 1)
    assert resolve_device("auto") == torch.device("cuda")


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_cuda_is_never_replaced_in_silence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, 0)
    with pytest.raises(DeviceUnavailable, match=f"'{name}' was asked for.* 0 CUDA"):
        resolve_device(name)


def test_the_number_must_be_that_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, 2)
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceUnavailable, match="cuda:2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "AUTO", "cpu,cuda"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match="use auto, cpu or cuda"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu"])
def test_other_kinds_of_device_are_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match="not supported"):
        resolve_device(name)
