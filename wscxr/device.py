"""The one place that decides where tensors live, and on how many cores is computed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from wscxr.errors import DeviceUnavailable


def resolve_device(name: str | torch.device) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` into a device that is really there.

    ``"auto"`` takes the first CUDA device, or the CPU where there is none; a device asked for by
    name is never replaced by another.

    Raises
    ------
    DeviceUnavailable
        The name is unknown, or no such device is present.
    """
    name = str(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceUnavailable(f"unknown device {name!r}; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"device {name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(
            f"device {name!r} was asked for, but PyTorch sees {torch.cuda.device_count()} "
            "CUDA devices; install a CUDA build and driver, or ask for cpu"
        )
    return device


@contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """Compute on so many cores for a while.

    Small matrices gain little from more than one, and on a machine that does something else as
    well, threads that wait for each other made a step twenty times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def one_thread() -> AbstractContextManager[None]:
    """Compute on one core for a while."""
    return computing_threads(1)
