"""The losses: two views of one radiograph alike, different radiographs apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.pretraining.backbone.config import ObjectiveName

_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
"""Weights of the three terms of VICReg, as in its paper."""


class Objective(nn.Module):
    """The loss of a batch, with the projector it is computed behind; both are thrown away.

    Parameters
    ----------
    name
        Which.
    channels
        Depth C of the feature maps.
    """

    def __init__(self, name: ObjectiveName, channels: int) -> None:
        super().__init__()
        self.name = name
        self.parts = nn.ModuleDict()
        if name in (ObjectiveName.GLOBAL, ObjectiveName.BOTH):
            self.parts["global"] = _projector(channels, 1024, 512)
        if name in (ObjectiveName.DENSE, ObjectiveName.BOTH):
            self.parts["dense"] = _projector(channels, 512, 256)

    def forward(
        self, first: Tensor, second: Tensor, first_frames: Tensor, second_frames: Tensor
    ) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        first, second
            Feature maps of the two views, float32 of shape (B, C, H', W').
        first_frames, second_frames
            Where the views lie; see `training.pretraining.backbone.views.Views`.
        """
        loss = first.new_zeros(())
        pooled = torch.cat([first, second]).mean(dim=(2, 3))
        if "global" in self.parts:
            loss = loss + vicreg(*self.parts["global"](pooled).chunk(2))
        if "dense" in self.parts:
            pairs = matched_patches(first, second, first_frames, second_frames)
            loss = loss + vicreg(*self.parts["dense"](torch.cat(pairs)).chunk(2))
        return loss


def vicreg(first: Tensor, second: Tensor) -> Tensor:
    """Invariance, variance and covariance terms (Bardes et al., ICLR 2022, eq. 1-6).

    Parameters
    ----------
    first, second
        Embeddings of the two views, row by row, float32 of shape (B, D), B >= 2.

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    loss = _INVARIANCE * functional.mse_loss(first, second)
    for embeddings in (first, second):
        centred = embeddings - embeddings.mean(dim=0)
        deviation = (centred.var(dim=0) + 1e-4).sqrt()
        covariance = centred.T @ centred / (len(centred) - 1)
        off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
        loss = loss + _VARIANCE * functional.relu(1 - deviation).mean()
        loss = loss + _COVARIANCE * off_diagonal / embeddings.shape[1]
    return loss


def matched_patches(
    first: Tensor, second: Tensor, first_frames: Tensor, second_frames: Tensor
) -> tuple[Tensor, Tensor]:
    """Patches of the first view, and what the second view has at the same places.

    Parameters
    ----------
    first, second
        Feature maps, float32 of shape (B, C, H', W').
    first_frames, second_frames
        Affine maps from each view's coordinates to the radiograph's, float32 of shape (B, 2, 3).

    Returns
    -------
    tuple
        float32 of shape (M, C) each; the second is interpolated. Places that the second view does
        not show are left out.
    """
    places = functional.affine_grid(first_frames, list(first.shape), align_corners=False)
    flat = places.flatten(1, 2) - second_frames[:, None, :, 2]
    inside = torch.linalg.solve(second_frames[:, None, :, :2], flat[..., None])[..., 0]
    grid = inside.reshape(places.shape)
    shown = (grid.abs() <= 1).all(dim=-1)
    there = functional.grid_sample(second, grid, align_corners=False, padding_mode="border")
    return first.permute(0, 2, 3, 1)[shown], there.permute(0, 2, 3, 1)[shown]


def _projector(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )
