"""The positional discriminator: it knows what is normal at each place of a chest X-ray."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

_WHERE_WEIGHT = 1.0
"""What a place one standard deviation more unusual than the rest adds to the map."""

_NEIGHBOURHOOD = 5
"""Side over which `PositionalDiscriminator.where` averages, in places of the map."""


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

    ``x = (Z(h, w) - mean(h, w)) W``, ``D = weight . x + bias``, trained like every discriminator
    (Eq. 7). Chests are upright
    and centred: a rib where ribs belong is normal, and the same rib's texture elsewhere is not.
    The length of ``x`` is a Mahalanobis distance to the normals of that place (PaDiM: Defard et
    al., ICPR 2020, with one covariance for all places); it knows no anomaly, and tells where an
    image is unusual, while D tells how abnormal it is.

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
    unit
        Standard deviation of `unusualness` over places and normal images, a float32 scalar.
    linear
        R -> 1.
    """

    mean: Tensor
    whitening: Tensor
    unit: Tensor

    def __init__(self, config: PositionalConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.height, config.width, config.in_features))
        self.register_buffer("whitening", torch.zeros(config.in_features, config.rank))
        self.register_buffer("unit", torch.ones(()))
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
        scores: Tensor = self.linear(self.whiten(features)).squeeze(-1)
        return scores

    def unusualness(self, features: Tensor) -> Tensor:
        """How far each neighbourhood is from what is normal there, less the image's mean.

        Beyond the border lies nothing unusual, so that places near it count for less.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            float32 of shape (B, H', W'), of mean 0 in every image.
        """
        squares = self.whiten(features).square().sum(dim=-1)
        # Logarithms, lest one marker of burnt-in text outshine everything else.
        distance = torch.log1p(squares)[:, None]
        around = functional.avg_pool2d(
            distance, _NEIGHBOURHOOD, stride=1, padding=_NEIGHBOURHOOD // 2
        )[:, 0]
        return around - around.mean(dim=(1, 2), keepdim=True)

    def where(self, features: Tensor, scores: Tensor) -> Tensor:
        """Anomaly maps: each image's score, spread over the places where it is unusual.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').
        scores
            Image-level scores, float32 of shape (B,).

        Returns
        -------
        Tensor
            float32 of shape (B, H', W'); the mean of a map is its image's score.
        """
        spread = self.unusualness(features) * (_WHERE_WEIGHT / self.unit)
        return scores[:, None, None] + spread
