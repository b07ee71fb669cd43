"""What an engine is: it makes a network ready to run, and the network runs.

A network that a detector gains is one `Blueprint`, and one call of `Engine.prepare`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from wscxr.engines.identity import EngineIdentity

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A network that an engine can make ready to run.

    Attributes
    ----------
    shape
        Shape of one input, without the batch.
    key
        Names all that decides what it computes, its weights too: equal keys, equal networks.
    build
        Makes it in PyTorch, in evaluation mode, on the CPU: float32 of shape (B, *shape) in, one
        tensor with that batch or a sequence of them out. Not called where the engine has a
        compiled network of this key in its cache.
    one_core
        It is small and runs on several threads at once, image by image: each on one core.
    exact
        It is computed in float32 whatever the engine's precision is: others build on its numbers.
    """

    shape: tuple[int, ...]
    key: str
    build: Callable[[], "nn.Module"]
    one_core: bool = False
    exact: bool = False


class Network(Protocol):
    """A network that is ready to run; several threads may run it at once."""

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run it.

        Parameters
        ----------
        batch
            float32 of shape (B, *shape) of its blueprint, with any B of at least 1: nothing is
            compiled here.

        Returns
        -------
        tuple of ndarray
            Its outputs, for a backbone the feature maps; float32 of shape (B, ...) each.
        """
        ...


class Engine(Protocol):
    """Runs networks on one device, in one precision.

    Attributes
    ----------
    identity
        Its name and precision.
    device
        Where it computes: ``"cpu"`` or ``"cuda:N"``.
    batch
        How many images are worth computing together; more at once are no faster.
    """

    identity: EngineIdentity
    device: str
    batch: int

    def prepare(self, blueprint: Blueprint) -> Network:
        """Make a network ready to run.

        Raises
        ------
        EngineUnavailable
            This engine cannot run it.
        """
        ...
