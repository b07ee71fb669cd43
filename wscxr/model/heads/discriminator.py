"""The discriminator: a small MLP from a patch feature to a score, and its loss (Eq. 7)."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional


class DiscriminatorConfig(BaseModel):
    """Shape of the discriminator; part of the bundle.

    Attributes
    ----------
    kind
        Which head this is.
    in_features
        Length C' of a patch feature.
    hidden
        Width of each hidden layer, from input to output; empty for a linear discriminator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["discriminator"] = "discriminator"
    in_features: PositiveInt
    hidden: tuple[PositiveInt, ...] = Field(default=(256,))

    def build(self) -> "Discriminator":
        """An untrained discriminator of this shape."""
        return Discriminator(self)


class Discriminator(nn.Module):
    """D: patch feature -> score; trained to give at most 0 on normal, at least 1 on anomaly.

    Features are first standardised with the per-channel mean and standard deviation of the
    normal set, which travel with the weights; without them channels of large scale would drown
    the others.

    Parameters
    ----------
    config
        Input length and hidden widths.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.in_features))
        self.register_buffer("scale", torch.ones(config.in_features))
        widths = (config.in_features, *config.hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def standardise_by(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics features are standardised with.

        Parameters
        ----------
        mean, std
            Of the normal set, float32 of shape (C',). Channels that vary by rounding alone are
            left out of the score.
        """
        self.mean.copy_(mean)
        # A dead channel has no scale: a tiny one would blow up its first deviation.
        alive = std > 1e-5 * mean.abs() + 1e-12
        self.scale.copy_(torch.where(alive, 1 / std.clamp(min=1e-12), 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Score patch features.

        Parameters
        ----------
        features
            float32 of shape (..., C').

        Returns
        -------
        Tensor
            Scores, float32 of shape (...), unbounded.
        """
        scores: Tensor = self.layers((features - self.mean) * self.scale).squeeze(-1)
        return scores

    def anomaly_maps(self, features: Tensor, maps: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the protocol's
        """The scores of the patches are the map; see `wscxr.model.heads.Head`."""
        return maps


def discriminator_loss(normal: Tensor, anomaly: Tensor) -> Tensor:
    """Hinge loss over pairs (Eq. 7): ``mean(max(0, D(m_n)) + max(0, 1 - D(m_a)))``.

    Parameters
    ----------
    normal, anomaly
        Scores D(m_n) and D(m_a), float32 of shape (B,).

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    return (functional.relu(normal) + functional.relu(1 - anomaly)).mean()
