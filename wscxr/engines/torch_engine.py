"""PyTorch, on a CPU or a CUDA device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wscxr.choices import EngineName, Precision
from wscxr.device import one_thread
from wscxr.engines.cuda import BUCKETS, CudaNetwork
from wscxr.engines.engine import Blueprint, Network
from wscxr.engines.identity import EngineIdentity

_CPU_BATCH = 4
"""On a CPU larger batches are no faster, and cost 60 MB of memory for each image more."""


class TorchEngine:
    """Runs networks in PyTorch; see `wscxr.engines.Engine`.

    Float32 on a CPU is what every other engine and precision is measured against.

    Parameters
    ----------
    device
        A CPU or CUDA device.
    precision
        ``"auto"``, or what to compute in. Auto is bfloat16 on a CUDA device that multiplies it,
        and float32 elsewhere.
    """

    def __init__(self, device: torch.device, precision: Precision | None = None) -> None:
        cuda = device.type == "cuda"
        if precision is None:
            precision = Precision.FLOAT32
            if cuda and torch.cuda.is_bf16_supported(including_emulation=False):
                precision = Precision.BFLOAT16
        self.identity = EngineIdentity(name=EngineName.TORCH, precision=precision)
        self.device = str(device)
        self.batch = BUCKETS[-1] if cuda else _CPU_BATCH

    def prepare(self, blueprint: Blueprint) -> Network:
        """See `wscxr.engines.Engine.prepare`."""
        device = torch.device(self.device)
        module = blueprint.build().eval().to(device)
        precision = Precision.FLOAT32 if blueprint.exact else self.identity.precision
        call = _Call(module, device, precision)
        if device.type == "cuda":
            return CudaNetwork(call, blueprint.shape, device)
        return _CpuNetwork(call, one_core=blueprint.one_core)


class _Call:
    """A module in a precision: a tensor in, float32 tensors out."""

    def __init__(self, module: nn.Module, device: torch.device, precision: Precision) -> None:
        self._module = module
        self._device = device.type
        self._bfloat16 = precision is Precision.BFLOAT16

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        # TF32 would round to ten bits what is called float32.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        lower = torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16)
        with torch.inference_mode(), exact, lower:
            found = self._module(batch)
            outputs: Sequence[Tensor] = (found,) if isinstance(found, Tensor) else found
            return tuple(output.float() for output in outputs)


class _CpuNetwork:
    def __init__(self, call: _Call, *, one_core: bool) -> None:
        self._call = call
        self._one_core = one_core

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        threads: AbstractContextManager[None] = one_thread() if self._one_core else nullcontext()
        with threads:
            outputs = self._call(torch.from_numpy(batch))
        return tuple(output.numpy() for output in outputs)
