"""The memory bank: how far a patch feature is from the nearest one kept of the normal set."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

from wscxr.model.mining import nearest_normal_distance


class MemoryBankConfig(BaseModel):
    """Shape of a memory bank; part of the bundle.

    Attributes
    ----------
    kind
        Which head this is.
    in_features
        Length C' of a patch feature.
    size
        How many patch features the bank holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["memory-bank"] = "memory-bank"
    in_features: PositiveInt
    size: PositiveInt

    def build(self) -> "MemoryBank":
        """An empty bank of this shape."""
        return MemoryBank(self)


class MemoryBank(nn.Module):
    """Patch feature -> distance to the nearest feature of the bank (PatchCore, eq. 6).

    Source: Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR 2022.
    Distances are given in units of a typical normal one, minus one, so that the map of a normal
    image lies about 0, as with every other head.

    Parameters
    ----------
    config
        Length and number of the features.

    Attributes
    ----------
    bank
        The features, float32 of shape (size, C').
    unit
        What a distance is divided by, a float32 scalar above 0.
    """

    bank: Tensor
    unit: Tensor

    def __init__(self, config: MemoryBankConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("bank", torch.zeros(config.size, config.in_features))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Score patch features.

        Parameters
        ----------
        features
            float32 of shape (..., C').

        Returns
        -------
        Tensor
            Scores, float32 of shape (...), at least -1.
        """
        flat = features.reshape(-1, features.shape[-1])
        distance = nearest_normal_distance(flat, self.bank)
        return (distance / self.unit - 1).reshape(features.shape[:-1])

    def anomaly_maps(self, features: Tensor, maps: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the protocol's
        """The scores of the patches are the map; see `wscxr.model.heads.Head`."""
        return maps
