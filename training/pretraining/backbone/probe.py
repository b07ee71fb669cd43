"""How good a backbone is, without a label: on radiographs that pretraining did not see."""

from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from training.pretraining.backbone.config import View
from training.pretraining.backbone.views import draw_views


class Probe(BaseModel):
    """What is measured.

    Attributes
    ----------
    rank
        Effective rank of the patch features (RankMe: Garrido et al., ICML 2023), from 1 to C. A
        collapsed backbone has a low one.
    retrieval
        How often a view's mean feature lies nearest to that of the other view of the same
        radiograph, in [0, 1]; guessing gives 1 / images.
    images
        Radiographs it was measured on.
    """

    model_config = ConfigDict(frozen=True)

    rank: float
    retrieval: float
    images: int


@torch.no_grad()
def probe(
    trunk: Callable[[Tensor], Tensor], pictures: Tensor, view: View, batch_size: int
) -> Probe:
    """Measure a network in evaluation mode.

    Parameters
    ----------
    trunk
        Views of shape (B, 1, size, size) -> feature maps of shape (B, C, H', W').
    pictures
        float32 of shape (N, 1, side, side) in [0, 1], N >= 2, on the network's device.
    view
        How views are drawn; always the same ones.
    batch_size
        Radiographs that are computed at once.
    """
    generator = torch.Generator().manual_seed(0)
    pooled: tuple[list[Tensor], list[Tensor]] = ([], [])
    patches: list[Tensor] = []
    for batch in torch.split(pictures, batch_size):
        for means, views in zip(pooled, draw_views(batch, view, generator), strict=True):
            maps = trunk(views.pixels)
            means.append(maps.mean(dim=(2, 3)))
            patches.append(maps.permute(0, 2, 3, 1).flatten(0, 2))
    first, second = (torch.cat(means) for means in pooled)
    centre, scale = first.mean(dim=0), first.std(dim=0, correction=0).clamp(min=1e-6)
    first, second = (functional.normalize((x - centre) / scale) for x in (first, second))
    nearest = (first @ second.T).argmax(dim=1)
    right = nearest == torch.arange(len(first), device=nearest.device)
    return Probe(
        rank=effective_rank(torch.cat(patches)),
        retrieval=float(right.float().mean()),
        images=len(first),
    )


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the singular values of the centred features.

    Parameters
    ----------
    features
        float32 of shape (N, C).

    Returns
    -------
    float
        From 1 (one direction, or none) to C.
    """
    centred = (features - features.mean(dim=0)).double()
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(torch.special.entr(share).sum()))
