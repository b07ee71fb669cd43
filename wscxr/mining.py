"""Anomaly feature mining: which patches of an abnormal image are abnormal (Eq. 4-5)."""

import math

import torch
from torch import Tensor

from wscxr.progress import Track, untracked

_BLOCK_ELEMENTS = 1 << 24
"""Distances held at once (64 MiB of float32), whatever the sizes of the two sets."""


def nearest_normal_distance(anomaly: Tensor, normal: Tensor, track: Track = untracked) -> Tensor:
    """Distance of each anomaly feature to the nearest of the normal set (Eq. 4).

    ``S(m) = min over m_n in M_n of ||m_n - m||_2``, over the whole normal set, block by block.
    Blocks are ranked by the expanded square, whose rounding could not be trusted for the
    distance itself; the distance to the winner is then computed from the difference.

    Parameters
    ----------
    anomaly
        Features of the anomaly set, float32 of shape (A, C).
    normal
        Features of the normal set, float32 of shape (N, C), N >= 1; may live on the CPU while
        `anomaly` is on a GPU.
    track
        Told of each block of the normal set.

    Returns
    -------
    Tensor
        S, float32 of shape (A,), on the device of `anomaly`.
    """
    # Distances do not change by a shift, but their rounding does: small numbers square better.
    centre = anomaly.mean(dim=0)
    shifted = anomaly - centre
    best = torch.full((len(anomaly),), torch.inf, device=anomaly.device)
    nearest = torch.zeros(len(anomaly), dtype=torch.long, device=anomaly.device)
    step = max(1, _BLOCK_ELEMENTS // max(len(anomaly), anomaly.shape[1]))
    blocks = range(0, len(normal), step)
    for start in track(blocks, "mining", len(blocks)):
        block = normal[start : start + step].to(anomaly.device) - centre
        # ||a - n||^2 without the ||a||^2 that all of a row share.
        squares = torch.addmm(block.square().sum(dim=1), shifted, block.T, alpha=-2)
        value, index = squares.min(dim=1)
        closer = value < best
        best = torch.where(closer, value, best)
        nearest = torch.where(closer, index + start, nearest)
    winners = normal[nearest.to(normal.device)].to(anomaly.device)
    distance: Tensor = torch.linalg.vector_norm(anomaly - winners, dim=1)
    return distance


def mine(scores: Tensor, r: float) -> Tensor:
    """Choose the features to keep: the floor(r |M_a|) with the largest S (Eq. 5).

    Parameters
    ----------
    scores
        S of each feature of the anomaly set, float32 of shape (A,).
    r
        Retention rate, in (0, 1].

    Returns
    -------
    Tensor
        Indices into the anomaly set, int64 of shape (max(1, floor(r A)),), in ascending order.
        Of equal scores the earlier is kept.
    """
    # The factor keeps floor(0.29 * 100) at 29 although the float product is 28.999...
    keep = max(1, math.floor(r * len(scores) * (1 + 1e-12)))
    return scores.argsort(descending=True, stable=True)[:keep].sort().values
