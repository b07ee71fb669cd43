"""OpenVINO, on a CPU: the extra ``openvino``.

A network is compiled for one image at a time, with as many streams as there are cores, each of one
thread. A batch is as many runs, spread over the streams: an image's numbers do not depend on what
it is computed with, nothing is ever compiled for another batch size, and no thread waits for
another.
"""

import os
import threading
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from wscxr.choices import EngineName, Precision
from wscxr.engines.cache import Cache
from wscxr.engines.engine import Blueprint, Network
from wscxr.engines.identity import EngineIdentity
from wscxr.errors import EngineUnavailable

_HINTS = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}
_DEVICE = "CPU"


class OpenVinoEngine:
    """Runs networks in OpenVINO; see `wscxr.engines.Engine`.

    Parameters
    ----------
    precision
        What to compute in; float32 where it is None. bfloat16 is for those who ask: it changed
        three decisions in a thousand on adults (`benchmarks.precision`).
    cache
        Folder of compiled networks; None to compile every time. Whoever can write there decides
        what is computed.

    Raises
    ------
    EngineUnavailable
        The processor does not multiply bfloat16, which was asked for.
    """

    device = "cpu"

    def __init__(self, precision: Precision | None = None, cache: Path | None = None) -> None:
        self._core = openvino.Core()
        able = "BF16" in self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        precision = precision or Precision.FLOAT32
        if precision is Precision.BFLOAT16 and not able:
            raise EngineUnavailable("this processor does not multiply bfloat16; use float32")
        self.identity = EngineIdentity(name=EngineName.OPENVINO, precision=precision)
        self.batch = _cores()
        self._settings = {
            "NUM_STREAMS": str(self.batch),
            "INFERENCE_NUM_THREADS": str(self.batch),
            # Other threads of the process decode images on the same cores.
            "ENABLE_CPU_PINNING": "NO",
        }
        self._cache = None if cache is None else Cache(cache)

    def prepare(self, blueprint: Blueprint) -> Network:
        """See `wscxr.engines.Engine.prepare`."""
        compiled = self._cached(blueprint) or self._compile(blueprint)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != self._hint(blueprint):
            raise EngineUnavailable(f"OpenVINO computes in {used} in place of what was asked for")
        return _OpenVinoNetwork(compiled, self.batch)

    def _cached(self, blueprint: Blueprint) -> openvino.CompiledModel | None:
        data = None if self._cache is None else self._cache.read(self._key(blueprint))
        return (
            None
            if data is None
            else self._core.import_model(data, _DEVICE, self._options(blueprint))
        )

    def _compile(self, blueprint: Blueprint) -> openvino.CompiledModel:
        # Here, because a network that is in the cache needs no PyTorch.
        from wscxr.engines.convert import convert

        model = convert(blueprint.build(), (1, *blueprint.shape))
        compiled = self._core.compile_model(model, _DEVICE, self._options(blueprint))
        if self._cache is not None:
            self._cache.write(self._key(blueprint), compiled.export_model().getvalue())
        return compiled

    def _hint(self, blueprint: Blueprint) -> str:
        return _HINTS[Precision.FLOAT32 if blueprint.exact else self.identity.precision]

    def _options(self, blueprint: Blueprint) -> dict[str, str]:
        return self._settings | {"INFERENCE_PRECISION_HINT": self._hint(blueprint)}

    def _key(self, blueprint: Blueprint) -> str:
        processor = self._core.get_property(_DEVICE, "FULL_DEVICE_NAME")
        settings = sorted(self._options(blueprint).items())
        return f"{openvino.get_version()} {processor} {settings} {blueprint.shape} {blueprint.key}"


class _OpenVinoNetwork:
    def __init__(self, compiled: openvino.CompiledModel, streams: int) -> None:
        self._compiled = compiled
        self._streams = streams
        # A request belongs to one thread at a time.
        self._own = threading.local()

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        requests = self._requests(min(len(batch), self._streams))
        images = np.ascontiguousarray(batch)
        outputs = tuple(
            np.empty((len(batch), *output.shape[1:]), np.float32)
            for output in self._compiled.outputs
        )

        def collect(place: int) -> None:
            request = requests[place % len(requests)]
            request.wait()
            for number, output in enumerate(outputs):
                output[place] = request.get_output_tensor(number).data[0]

        for place in range(len(images)):
            if place >= len(requests):
                collect(place - len(requests))
            request = requests[place % len(requests)]
            request.set_input_tensor(openvino.Tensor(images[place : place + 1], shared_memory=True))
            request.start_async()
        for place in range(len(images) - len(requests), len(images)):
            collect(place)
        return outputs

    def _requests(self, count: int) -> list[openvino.InferRequest]:
        own: list[openvino.InferRequest] = getattr(self._own, "requests", [])
        while len(own) < count:
            own.append(self._compiled.create_infer_request())
        self._own.requests = own
        return own[:count]


def _cores() -> int:
    """Cores to compute on: OMP_NUM_THREADS, as for PyTorch, or all that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else len(os.sched_getaffinity(0))
