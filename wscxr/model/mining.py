"""Anomaly feature mining: which patches of an abnormal image are abnormal (Eq. 4-5)."""

import math

import torch
from torch import Tensor

from wscxr.progress import Track, untracked

_BLOCK_ELEMENTS = 1 << 24
"""Distances held at once (64 MiB of float32), whatever the sizes of the two sets."""


def nearest_normal_distance(
    anomaly: Tensor, normal: Tensor, track: Track = untracked, *, neighbours: int = 1
) -> Tensor:
    """Distance of each anomaly feature to the nearest of the normal set (Eq. 4).

    ``S(m) = min over m_n in M_n of ||m_n - m||_2``, over the whole normal set, block by block.
    Blocks are ranked by the expanded square, whose rounding could not be trusted for the
    distance itself; the distance to the winner is then computed from the difference.

    With several neighbours it is the mean distance to that many nearest, as in the public code
    of the paper's authors.

    Parameters
    ----------
    anomaly
        Features of the anomaly set, float32 of shape (A, C).
    normal
        Features of the normal set, float32 of shape (N, C), N >= 1; may live on the CPU while
        `anomaly` is on a GPU.
    track
        Shows progress, one step for each block of the normal set.
    neighbours
        How many of the nearest count, at least 1; all where the normal set has fewer.

    Returns
    -------
    Tensor
        S, float32 of shape (A,), on the device of `anomaly`.
    """
    # Distances do not change by a shift, but their rounding does: small numbers square better.
    centre = anomaly.mean(dim=0)
    shifted = anomaly - centre
    count = min(neighbours, len(normal))
    best = torch.full((len(anomaly), count), torch.inf, device=anomaly.device)
    nearest = torch.zeros_like(best, dtype=torch.long)
    step = max(1, _BLOCK_ELEMENTS // max(len(anomaly), anomaly.shape[1]))
    blocks = range(0, len(normal), step)
    for start in track(blocks, "mining", len(blocks)):
        block = normal[start : start + step].to(anomaly.device) - centre
        # ||a - n||^2 without the ||a||^2 that all of a row share.
        squares = torch.addmm(block.square().sum(dim=1), shifted, block.T, alpha=-2)
        value, index = _smallest(squares, count)
        candidates = torch.cat([nearest, index + start], dim=1)
        best, chosen = _smallest(torch.cat([best, value], dim=1), count)
        nearest = candidates.gather(1, chosen)
    total = torch.zeros(len(anomaly), device=anomaly.device)
    for column in nearest.to(normal.device).T:
        total += torch.linalg.vector_norm(anomaly - normal[column].to(anomaly.device), dim=1)
    return total / count


def _smallest(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values and indices of the smallest `count` of each row, or of all where there are fewer."""
    if count == 1:
        # Many times faster than the general search; of equal ones the first.
        value, index = rows.min(dim=1, keepdim=True)
    else:
        value, index = rows.topk(min(count, rows.shape[1]), dim=1, largest=False)
    return value, index


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
