"""PatchCore (Roth et al., CVPR 2022): distance to the nearest of a coreset of normal features.

The score rule ``max`` gives the image score of the authors' code, which leaves out the reweighting
of eq. 7.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from sklearn.random_projection import GaussianRandomProjection, johnson_lindenstrauss_min_dim
from torch import Tensor

from training.methods.fitting import Fit, OnCheckpoint
from training.methods.settings import PatchCore
from wscxr.device import one_thread
from wscxr.model.heads.memory_bank import MemoryBank, MemoryBankConfig
from wscxr.model.mining import nearest_normal_distance
from wscxr.progress import Track, untracked

_DISTORTION = 0.9
"""Relative error allowed of the squared distances the coreset is chosen by, as in anomalib."""

_BLOCK = 1 << 14
"""Features projected or compared at once: the set itself may lie on disk."""

_POOL = 1 << 11
_ROUND = 1 << 6
"""How many far points are searched between two passes over all, and how many are taken."""

_SAMPLE = 1 << 12
"""Features whose distance to the bank shows what is typical."""


def fit(
    settings: PatchCore,
    normal: Tensor,
    anomaly: Tensor,  # noqa: ARG001 - learns from normal images alone
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Fill the bank; see `Method.fit`.

    The metric ``unit`` is the typical distance, the unit of the scores. There is one checkpoint,
    because nothing is trained step by step.
    """
    generator = torch.Generator().manual_seed(seed)
    count = max(1, round(settings.coreset_ratio * len(normal)))
    if count < len(normal):
        first = int(torch.randint(len(normal), (1,), generator=generator))
        centres = islice(farthest_first(_project(normal, seed).to(device), first), count)
        with one_thread():
            found = list(track(centres, "choosing the coreset", count))
        chosen = torch.tensor(found).sort()[0]
    else:
        chosen = torch.arange(len(normal))
    head = MemoryBank(MemoryBankConfig(in_features=normal.shape[1], size=count))
    head.bank.copy_(normal[chosen])
    head.unit.fill_(_typical_distance(normal, chosen, generator, device))
    head.to(device).eval()
    if on_checkpoint is not None:
        on_checkpoint(head)
    return Fit(head, metrics={"unit": float(head.unit)})


def farthest_first(points: Tensor, first: int) -> Iterator[int]:
    """Greedy k-centre selection (Sener & Savarese, ICLR 2018; PatchCore, eq. 5 and Alg. 1).

    Each next centre is the point farthest from all centres so far. A point only ever comes
    nearer to the centres, so one that is farther than all others *were* is the farthest: most
    centres are found among a pool of far points, and all points are compared with many new
    centres at once. The answer is that of the plain search.

    Parameters
    ----------
    points
        float32 of shape (N, C); their mean should be about 0, for the sake of rounding.
    first
        The centre to start from.

    Yields
    ------
    int
        Row of the next centre, `first` to begin with; at most N may be taken, all different.
    """
    squares = points.square().sum(dim=1)
    nearest = torch.full_like(squares, torch.inf)
    new = [first]
    yield first
    while True:
        for start in range(0, len(points), _BLOCK):
            rows = slice(start, start + _BLOCK)
            distance = _squared_distance(points[rows], squares[rows], points[new], squares[new])
            nearest[rows] = nearest[rows].minimum(distance.amin(dim=1))
        nearest[new] = -torch.inf
        distance, pool = nearest.topk(min(_POOL, len(points)))
        floor = distance[-1].clone()
        far, far_squares = points[pool], squares[pool]
        new = []
        while len(new) < _ROUND and distance.max() >= floor:
            place = distance.argmax()[None]
            new.append(int(pool[place]))
            yield new[-1]
            to_new = _squared_distance(far, far_squares, far[place], far_squares[place])
            torch.minimum(distance, to_new[:, 0], out=distance)
            distance[place] = -torch.inf


def _squared_distance(a: Tensor, a_squares: Tensor, b: Tensor, b_squares: Tensor) -> Tensor:
    """||a - b||^2 of each a and each b: float32 of shape (A, B)."""
    return torch.addmm(b_squares, a, b.T, alpha=-2) + a_squares[:, None]


def _project(features: Tensor, seed: int) -> Tensor:
    """Features at nearly the same distances in as few dimensions as that takes, around 0.

    A random projection, by the lemma of Johnson and Lindenstrauss (PatchCore, sec. 3.2); features
    that are short already stay as they are.
    """
    channels = features.shape[1]
    enough = int(johnson_lindenstrauss_min_dim(len(features), eps=_DISTORTION))
    # Only the number of channels is learned.
    projection = GaussianRandomProjection(min(channels, enough), random_state=seed)
    projection.fit(features[:1].numpy())
    projected = torch.empty(len(features), min(channels, enough))
    for start in range(0, len(features), _BLOCK):
        block = features[start : start + _BLOCK]
        if enough < channels:
            block = torch.from_numpy(projection.transform(block.numpy()))
        projected[start : start + _BLOCK] = block
    projected -= projected.mean(dim=0)
    return projected


def _typical_distance(
    normal: Tensor, chosen: Tensor, generator: torch.Generator, device: torch.device
) -> float:
    """Median distance to the bank of normal features outside it; always above 0.

    Where more are inside, of some of these to the others: the few left out are the nearest.
    """
    outside = torch.ones(len(normal), dtype=torch.bool)
    outside[chosen] = False
    rows = outside.nonzero()[:, 0]
    if len(rows) >= len(chosen):
        sample = rows[torch.randperm(len(rows), generator=generator)[:_SAMPLE]]
        bank = chosen
    else:
        order = chosen[torch.randperm(len(chosen), generator=generator)]
        sample, bank = order.tensor_split([min(_SAMPLE, len(order) // 2)])
    features = normal[sample.sort()[0]].to(device)
    distance = nearest_normal_distance(features, normal[bank.sort()[0]])
    size = torch.linalg.vector_norm(features, dim=1).median()
    # Copies of an image differ by rounding alone, which says nothing of what is typical.
    telling = distance[distance > 1e-5 * size]
    return float(telling.median() if len(telling) else size) or 1.0
