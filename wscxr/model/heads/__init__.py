"""Heads: what turns patch features into scores, and how a bundle says which one it holds.

A head's configuration builds it, empty; its tensors come from the bundle. A new kind of head is one
module beside these, named in `HeadConfig`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol, Self

import torch
from pydantic import Field
from torch import Tensor

from wscxr.model.heads.discriminator import DiscriminatorConfig
from wscxr.model.heads.memory_bank import MemoryBankConfig
from wscxr.model.heads.positional import PositionalConfig

HeadConfig = Annotated[
    DiscriminatorConfig | MemoryBankConfig | PositionalConfig, Field(discriminator="kind")
]


class Head(Protocol):
    """What the detector needs of a head; every head is a `torch.nn.Module` besides.

    Attributes
    ----------
    config
        Kind and shape, from which ``config.build()`` makes an empty head.
    training
        Whether it is in training mode; see `torch.nn.Module.train`.
    """

    config: Any
    training: bool

    def __call__(self, features: Tensor) -> Tensor:
        """Score the patch features of whole images.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            float32 of shape (B, H', W'), unbounded: about 0 or less on normal patches, 1 and more
            on clearly anomalous ones.
        """
        ...

    def anomaly_maps(self, features: Tensor, maps: Tensor, scores: Tensor) -> Tensor:
        """Anomaly maps to show for images that have been scored.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').
        maps
            What calling the head on `features` gave, float32 of shape (B, H', W').
        scores
            Image-level scores of `maps`, float32 of shape (B,).

        Returns
        -------
        Tensor
            float32 of shape (B, H', W').
        """
        ...

    def to(self, device: torch.device) -> Self:
        """See `torch.nn.Module.to`."""
        ...

    def eval(self) -> Self:
        """See `torch.nn.Module.eval`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """See `torch.nn.Module.state_dict`."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """See `torch.nn.Module.load_state_dict`."""
        ...
