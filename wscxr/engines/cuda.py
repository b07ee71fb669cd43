"""A PyTorch network on a CUDA device, recorded once as CUDA graphs.

Small networks wait for their kernels to be started rather than for the kernels themselves. A graph
starts all of them at once, but has one batch size: there is one graph for each of a few sizes, made
when the network is, so that a request never waits for one.
"""

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUCKETS = (1, 2, 4, 8, 16, 32)
"""Batch sizes that have a graph; a batch in between is filled up, a larger one is cut."""

_WARM_UP = 3
"""Runs before a graph is recorded, in which cuDNN chooses its algorithms."""

Call = Callable[[Tensor], tuple[Tensor, ...]]


def in_buckets(count: int) -> Iterator[tuple[slice, int]]:
    """Cut a batch into parts that graphs can run.

    Yields
    ------
    part : slice
        Some images of the batch.
    bucket : int
        The smallest of `BUCKETS` that holds them.
    """
    edges = [*range(0, count, BUCKETS[-1]), count]
    for start, stop in pairwise(edges):
        yield slice(start, stop), next(size for size in BUCKETS if size >= stop - start)


class CudaNetwork:
    """A network as CUDA graphs, with pinned memory on both sides; see `wscxr.engines.Network`.

    Parameters
    ----------
    call
        The network: a tensor on the device in, float32 tensors on the device out.
    shape
        Shape of one input, without the batch.
    device
        A CUDA device.
    """

    def __init__(self, call: Call, shape: tuple[int, ...], device: torch.device) -> None:
        self._lock = threading.Lock()
        self._device = device
        with torch.cuda.device(device):
            # The largest first: the smaller ones fit into its memory.
            self._graphs = {size: _Graph(call, size, shape) for size in reversed(BUCKETS)}

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """See `wscxr.engines.Network.run`."""
        with self._lock, torch.cuda.device(self._device):
            parts = [
                self._graphs[bucket].run(batch[part]) for part, bucket in in_buckets(len(batch))
            ]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


class _Graph:
    def __init__(self, call: Call, size: int, shape: tuple[int, ...]) -> None:
        # Channels-last is the layout that tensor cores take convolutions in.
        layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
        zeros = torch.zeros(size, *shape)
        self._input = zeros.cuda().contiguous(memory_format=layout)
        self._pinned = zeros.contiguous(memory_format=layout).pin_memory()
        for _ in range(_WARM_UP):
            call(self._input)
        torch.cuda.current_stream().synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = call(self._input)
        self._results = [torch.empty_like(out, device="cpu").pin_memory() for out in self._outputs]

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        count = len(batch)
        self._pinned[:count].copy_(torch.from_numpy(batch))
        self._input.copy_(self._pinned, non_blocking=True)
        self._graph.replay()
        for result, output in zip(self._results, self._outputs, strict=True):
            result.copy_(output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        # Copies: the next run writes over the pinned memory.
        return [result[:count].numpy().copy() for result in self._results]
