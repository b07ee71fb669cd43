"""The positional discriminator: what is normal at each place of a chest X-ray."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

_SMOOTHED = 3
"""Side over which distances are averaged, in places of the map."""

_BORDER = 5
"""Side of the neighbourhood whose share inside the map is what a place counts for."""


class PositionalConfig(BaseModel):
    """Shape of a positional discriminator; part of the bundle.

    Attributes
    ----------
    kind
        Which head this is.
    height, width
        Size H' x W' of the feature map.
    in_features
        Length C' of a patch feature.
    rank
        Number R of whitened directions that are looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["positional"] = "positional"
    height: PositiveInt
    width: PositiveInt
    in_features: PositiveInt
    rank: PositiveInt

    def build(self) -> "PositionalDiscriminator":
        """An untrained head of this shape."""
        return PositionalDiscriminator(self)


class PositionalDiscriminator(nn.Module):
    """D of the whitened deviation of a patch feature from the normal mean at its place.

    ``x = (Z(h, w) - mean(h, w)) W``, ``D = weight . x + bias + prior u``; weight and bias are
    trained like every discriminator (Eq. 7). Chests are upright and centred: a rib where ribs
    belong is normal, and the same rib's texture elsewhere is not.
    The length of ``x`` is a Mahalanobis distance to the normals of that place (PaDiM: Defard et
    al., ICPR 2020, with one covariance for all places); it has seen no anomaly, and shows where
    an image is unusual. Its mean over the image, u, is what D falls back on where few anomaly
    images taught it: `prior` is large for K = 2 and 0 for hundreds.

    Parameters
    ----------
    config
        Size of the feature map, length of a feature, rank.

    Attributes
    ----------
    mean
        Normal mean at each place, float32 of shape (H', W', C').
    whitening
        W, float32 of shape (C', R).
    usual, spread
        Mean and standard deviation of `log_distance` at each place over the normal set, float32
        of shape (H', W').
    prior
        Weight of u, a float32 scalar, at least 0.
    linear
        R -> 1.
    """

    mean: Tensor
    whitening: Tensor
    usual: Tensor
    spread: Tensor
    prior: Tensor

    def __init__(self, config: PositionalConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.height, config.width, config.in_features))
        self.register_buffer("whitening", torch.zeros(config.in_features, config.rank))
        self.register_buffer("usual", torch.zeros(config.height, config.width))
        self.register_buffer("spread", torch.ones(config.height, config.width))
        self.register_buffer("prior", torch.zeros(()))
        self.linear = nn.Linear(config.rank, 1)

    def whiten(self, features: Tensor) -> Tensor:
        """Whitened deviations x.

        Parameters
        ----------
        features
            Patch features of whole images, float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            float32 of shape (B, H', W', R); of unit variance on the normal set.
        """
        return (features - self.mean) @ self.whitening

    def forward(self, features: Tensor) -> Tensor:
        """Score the patch features of whole images.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            D at every place, float32 of shape (B, H', W'), unbounded.
        """
        x = self.whiten(features)
        scores: Tensor = self.linear(x).squeeze(-1)
        return scores + self.prior * self._unusualness(x).mean(dim=(1, 2), keepdim=True)

    def unusualness(self, features: Tensor) -> Tensor:
        """How far each place is from what is normal there, on a logarithmic scale.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            float32 of shape (B, H', W'): 0 is what normal images have there, in the mean, and 1
            a standard deviation more.
        """
        return self._unusualness(self.whiten(features))

    def _unusualness(self, x: Tensor) -> Tensor:
        return (log_distance(x) - self.usual) / self.spread

    def anomaly_maps(self, features: Tensor, maps: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the protocol's
        """Anomaly maps: each image's score, spread over the places where it is unusual.

        ``score + weight (z + 1) - 1``, where z is the unusualness of a place and weight, from 0.36
        to 1, the share of its neighbourhood that lies inside the image: features at the border see
        padding, and lesions do not lie there.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').
        maps
            D at every place; unused, for it says little of where.
        scores
            Image-level scores, float32 of shape (B,).

        Returns
        -------
        Tensor
            float32 of shape (B, H', W').
        """
        z = self.unusualness(features)
        inside = functional.avg_pool2d(
            torch.ones_like(z[:, None]), _BORDER, stride=1, padding=_BORDER // 2
        )[:, 0]
        return scores[:, None, None] + inside * (z + 1) - 1


def log_distance(x: Tensor) -> Tensor:
    """Smoothed logarithm of the squared Mahalanobis distance at each place.

    Parameters
    ----------
    x
        Whitened deviations, float32 of shape (B, H', W', R).

    Returns
    -------
    Tensor
        float32 of shape (B, H', W'), at least 0.
    """
    # Logarithms, so that one burnt-in marker does not outshine everything else.
    distance = torch.log1p(x.square().sum(dim=-1))[:, None]
    smooth: Tensor = functional.avg_pool2d(
        distance, _SMOOTHED, stride=1, padding=_SMOOTHED // 2, count_include_pad=False
    )
    return smooth[:, 0]
