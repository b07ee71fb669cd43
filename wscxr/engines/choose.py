"""Which engine is taken where several could be."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wscxr.choices import EngineName, Precision
from wscxr.engines.engine import Engine
from wscxr.errors import EngineUnavailable

if TYPE_CHECKING:
    import torch

E = TypeVar("E", EngineName, Precision)


def open_engine(
    device: "torch.device | str" = "auto",
    engine: str = "auto",
    precision: str = "auto",
    cache: Path | None = None,
) -> Engine:
    """Open the engine that a person asked for.

    Parameters
    ----------
    device
        See `wscxr.device.resolve_device`.
    engine
        ``"auto"``, ``"torch"`` or ``"openvino"``. Auto is OpenVINO on a CPU where it is installed,
        and PyTorch elsewhere; what is asked for by name is never replaced.
    precision
        ``"auto"``, ``"float32"`` or ``"bfloat16"``. Auto is float32 on a CPU, and
        bfloat16 on a CUDA device that multiplies it.
    cache
        Folder of compiled networks, for a quicker start; None for no cache. PyTorch has none.

    Raises
    ------
    DeviceUnavailable
        The device is not there.
    EngineUnavailable
        The engine is not there, or cannot compute in this precision or on this device.
    """
    from wscxr.device import resolve_device
    from wscxr.engines.torch_engine import TorchEngine

    place = resolve_device(device)
    wanted = None if precision == "auto" else _named(Precision, "precision", precision)
    name = auto_engine(place) if engine == "auto" else _named(EngineName, "engine", engine)
    if name is EngineName.TORCH:
        return TorchEngine(place, wanted)
    if place.type != "cpu":
        raise EngineUnavailable(f"OpenVINO runs on the CPU, not on {place}; ask for device cpu")
    if not openvino_installed():
        raise EngineUnavailable("OpenVINO is not installed: pip install 'wscxr[openvino]'")
    from wscxr.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(wanted, cache)


def auto_engine(device: "torch.device") -> EngineName:
    """The engine to take on a device where nobody asks for one."""
    on_cpu = device.type == "cpu" and openvino_installed()
    return EngineName.OPENVINO if on_cpu else EngineName.TORCH


def openvino_installed() -> bool:
    """Whether the extra ``openvino`` is installed."""
    return find_spec("openvino") is not None


def _named(kind: type[E], what: str, name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise EngineUnavailable(f"{what} {name!r} is none of auto, {', '.join(kind)}") from None
