"""Space-aware memories: a dictionary of normal patterns for each place of the image (Sec. 3.2)."""

import torch
from torch import Tensor, nn

from training.paper.squid.patches import cut, join
from training.paper.squid.shortcut import MaskedShortcut

KEPT = 5
"""Patterns a query is put together from."""


def gumbel_shrinkage(similarity: Tensor, keep: int) -> Tensor:
    """Weights of the nearest patterns alone, with the gradient of all.

    The softmax of the similarities is cut to its `keep` largest entries and these are normalised
    to a sum of 1; backwards, the cut is not there, so that no pattern starves.

    Parameters
    ----------
    similarity
        Shape (..., M), for M patterns.
    keep
        Entries that stay, at most M.

    Returns
    -------
    Tensor
        Shape (..., M), in [0, 1], at most `keep` of each row above 0.
    """
    soft = similarity.softmax(dim=-1)
    largest, where = soft.detach().topk(keep, dim=-1)
    share = largest / largest.sum(dim=-1, keepdim=True)
    return torch.zeros_like(soft).scatter(-1, where, share) + (soft - soft.detach())


def look_up(queries: Tensor, patterns: Tensor) -> Tensor:
    """Put each query together from the patterns of its own place.

    Parameters
    ----------
    queries
        Shape (B, L, D), for L places.
    patterns
        Shape (L, M, D).

    Returns
    -------
    Tensor
        Shape (B, L, D).
    """
    similarity = torch.einsum("bld,lmd->blm", queries, patterns)
    return torch.einsum("blm,lmd->bld", gumbel_shrinkage(similarity, KEPT), patterns)


def _initial(places: int, slots: int, width: int) -> Tensor:
    bound = width**-0.5
    return torch.empty(places, slots, width).uniform_(-bound, bound)


class MemoryQueue(nn.Module):
    """The latest features of normal images, copied in order; not trained.

    Parameters
    ----------
    places
        Places of the image, each with patterns of its own.
    slots
        Patterns for each place.
    width
        Length of a pattern.
    """

    patterns: Tensor

    def __init__(self, places: int, slots: int, width: int) -> None:
        super().__init__()
        self.register_buffer("patterns", _initial(places, slots, width))
        self._next = 0

    def forward(self, queries: Tensor) -> Tensor:
        """Look queries of shape (B, places, width) up; the answer has the same shape."""
        return look_up(queries, self.patterns)

    @torch.no_grad()
    def enqueue(self, features: Tensor) -> None:
        """Copy features of shape (B, places, width) over the oldest patterns."""
        slots = self.patterns.shape[1]
        latest = features[-slots:]
        rows = (self._next + torch.arange(len(latest), device=features.device)) % slots
        self.patterns[:, rows] = latest.transpose(0, 1)
        self._next = (self._next + len(latest)) % slots


class MemoryMatrix(nn.Module):
    """Patterns that are trained, for the windows of a map; part of the student's decoder.

    Parameters
    ----------
    side
        Windows along each side of the map.
    slots
        Patterns for each window.
    width
        Values in a window, all channels together.
    shortcut
        Mixes what was there with what was looked up.
    """

    def __init__(self, side: int, slots: int, width: int, shortcut: MaskedShortcut) -> None:
        super().__init__()
        self.patterns = nn.Parameter(_initial(side * side, slots, width))
        self.shortcut = shortcut
        self._side = side

    def forward(self, features: Tensor) -> Tensor:
        """Look the windows of maps of shape (B, C, H, W) up; the answer has the same shape."""
        windows = cut(features, self._side)
        queries = windows.reshape(len(features), self._side**2, -1)
        found = look_up(queries, self.patterns).reshape(windows.shape)
        mixed: Tensor = self.shortcut(features, join(found, self._side))
        return mixed
