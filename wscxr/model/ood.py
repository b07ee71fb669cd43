"""Out of distribution: how unlike the training images an image is, before its score is believed.

An anomaly score means something on images like those the detector learned from. A photograph, a
phantom, a negative or another part of the body gets some score as well; this says so.

Sources: the Mahalanobis distance of features as a measure of how far an image is from the training
distribution, Lee et al., *A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks*, NeurIPS 2018, here of one Gaussian over all training images; a covariance of
low rank plus one variance for all that is left, Tipping and Bishop, *Probabilistic Principal
Component Analysis*, 1999.
"""

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn


class OodConfig(BaseModel):
    """Shape of an OOD scorer; part of the bundle.

    Attributes
    ----------
    in_features
        Length C' of a patch feature.
    rank
        How many directions have a variance of their own, at most 2 C'.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_features: PositiveInt
    rank: PositiveInt

    def build(self) -> "OodScorer":
        """An empty scorer of this shape."""
        return OodScorer(self)


def describe(features: Tensor) -> Tensor:
    """Describe images by mean and standard deviation of their patch features over all positions.

    Parameters
    ----------
    features
        float32 of shape (B, H', W', C').

    Returns
    -------
    Tensor
        float32 of shape (B, 2 C').
    """
    flat = features.flatten(1, 2)
    # Not the unbiased one, which a map of a single position does not have.
    return torch.cat([flat.mean(dim=1), flat.std(dim=1, correction=0)], dim=1)


class OodScorer(nn.Module):
    """Patch features of an image -> its OOD score: above 1 it is unlike the training images.

    The score is a Mahalanobis distance over its threshold. Of the standardised descriptor x,
    the squared distance is ``sum_k (u_k . x)^2 / l_k + |x - U^T U x|^2 / l_rest``.

    Parameters
    ----------
    config
        Its shape.

    Attributes
    ----------
    mean, scale
        Standardise a descriptor: float32 of shape (2 C',), `scale` above 0.
    directions
        The u_k, orthonormal, float32 of shape (rank, 2 C').
    eigenvalues
        The l_k, variances along them, float32 of shape (rank,), above 0.
    rest
        l_rest, the mean variance along all other directions, a float32 scalar above 0.
    threshold
        The distance that scores 1, a float32 scalar above 0.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    eigenvalues: Tensor
    rest: Tensor
    threshold: Tensor

    def __init__(self, config: OodConfig) -> None:
        super().__init__()
        self.config = config
        length = 2 * config.in_features
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("scale", torch.ones(length))
        self.register_buffer("directions", torch.eye(config.rank, length))
        self.register_buffer("eigenvalues", torch.ones(config.rank))
        self.register_buffer("rest", torch.ones(()))
        self.register_buffer("threshold", torch.ones(()))

    def distance(self, descriptors: Tensor) -> Tensor:
        """Mahalanobis distance of descriptors.

        Parameters
        ----------
        descriptors
            From `describe`, float32 of shape (B, 2 C').

        Returns
        -------
        Tensor
            float32 of shape (B,), at least 0.
        """
        x = (descriptors - self.mean) / self.scale
        along = x @ self.directions.T
        # Not |x|^2 - |Ux|^2: the difference of two large numbers would be all rounding.
        left = x - along @ self.directions
        squared = along.square() / self.eigenvalues
        return (squared.sum(dim=1) + left.square().sum(dim=1) / self.rest).sqrt()

    def forward(self, features: Tensor) -> Tensor:
        """OOD scores of images.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C').

        Returns
        -------
        Tensor
            float32 of shape (B,), at least 0.
        """
        return self.distance(describe(features)) / self.threshold
