"""Feature maps of several layers -> one patch feature for each position (Eq. 1-3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def align(maps: Sequence[Tensor]) -> Tensor:
    """Bring the maps of several layers to one size and stack their channels (Eq. 1).

    Each map is upsampled (bilinear) to the largest height and width among them; a single map
    comes back as it is. Layers of
    different scale need no balance here: the discriminator standardises every channel.

    Parameters
    ----------
    maps
        float32 maps of shape (B, C_j, H_j, W_j).

    Returns
    -------
    Tensor
        phi(x), float32 of shape (B, sum C_j, max H_j, max W_j).
    """
    if len(maps) == 1:
        return maps[0]
    size = (max(m.shape[2] for m in maps), max(m.shape[3] for m in maps))
    return torch.cat(
        [functional.interpolate(m, size, mode="bilinear") for m in maps],
        dim=1,
    )


def aggregate(phi: Tensor, p: int) -> Tensor:
    """Average each position's p x p neighbourhood (Eq. 2-3).

    Positions outside the map count as zeros, as in the PatchCore lineage.

    Parameters
    ----------
    phi
        float32 of shape (B, C', H', W').
    p
        Side of the neighbourhood; odd.

    Returns
    -------
    Tensor
        Patch features Z, float32 of shape (B, C', H', W').
    """
    return functional.avg_pool2d(phi, p, stride=1, padding=p // 2, count_include_pad=True)


def patch_features(maps: Sequence[Tensor], p: int) -> Tensor:
    """Patch features Z of a batch of images: `align`, then `aggregate`.

    Parameters
    ----------
    maps
        What the backbone gives: float32 maps of shape (B, C_j, H_j, W_j).
    p
        Side of the neighbourhood; odd.

    Returns
    -------
    Tensor
        float32 of shape (B, H', W', C'): one C'-vector for each position.
    """
    return aggregate(align(maps), p).permute(0, 2, 3, 1).contiguous()
