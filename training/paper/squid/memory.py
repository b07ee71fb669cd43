"""Normal patterns by place: patches, memories of them, and in-painting from them (Sec. 3.2-3.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_CENTRE = 4
"""Place of a patch itself in its 3 x 3 neighbourhood, row by row."""


def cut(images: Tensor, side: int) -> Tensor:
    """Cut maps into patches that do not overlap.

    Parameters
    ----------
    images
        Shape (B, C, H, W); `side` divides H and W.
    side
        Patches along each side.

    Returns
    -------
    Tensor
        Shape (B * side * side, C, H / side, W / side): the patches of one map follow each other,
        row by row.
    """
    count, channels, height, width = images.shape
    grid = images.reshape(count, channels, side, height // side, side, width // side)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // side, width // side)


def join(patches: Tensor, side: int) -> Tensor:
    """Put patches together again; the inverse of `cut`.

    Parameters
    ----------
    patches
        Shape (B * side * side, C, h, w).
    side
        Patches along each side.

    Returns
    -------
    Tensor
        Shape (B, C, side * h, side * w).
    """
    _, channels, height, width = patches.shape
    grid = patches.reshape(-1, side, side, channels, height, width)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, side * height, side * width)


def neighbours(features: Tensor, side: int) -> Tensor:
    """The eight patches around each patch.

    Parameters
    ----------
    features
        One vector for each patch, shape (B, side * side, D), row by row.
    side
        Patches along each side.

    Returns
    -------
    Tensor
        Shape (B, side * side, 8, D); zeros where the grid ends.
    """
    count, locations, width = features.shape
    grid = features.transpose(1, 2).reshape(count, width, side, side)
    around = functional.unfold(grid, kernel_size=3, padding=1)
    around = around.reshape(count, width, 9, locations).permute(0, 3, 2, 1)
    return around[:, :, [place for place in range(9) if place != _CENTRE]]


IN_PAINTED = 0.95
"""Share of positions that take the in-painted feature in training (rho)."""


class MaskedShortcut(nn.Module):
    """Draws, for each position, whether the original or the in-painted feature goes on.

    ``F' = (1 - delta) F + delta inpaint(F)``, delta ~ Bernoulli(0.95) in training and 1 after it.

    Parameters
    ----------
    generator
        Where delta is drawn from, on the CPU.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def forward(self, original: Tensor, in_painted: Tensor) -> Tensor:
        """Mix two maps of shape (B, C, H, W); all channels of a position go the same way."""
        if not self.training:
            return in_painted
        count, _, height, width = original.shape
        share = torch.full((count, 1, height, width), IN_PAINTED)
        delta = torch.bernoulli(share, generator=self._generator).to(original.device)
        return delta * in_painted + (1 - delta) * original


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


_HEADS = 8
_REDUCTION = 4
"""How much narrower the block is than its input, and its feed-forward layer than the block."""


class InpaintingBlock(nn.Module):
    """Memory queue, attention to the eight neighbours, masked shortcut.

    Parameters
    ----------
    channels
        Channels of the input.
    side
        Height and width of one patch's feature map.
    grid
        Patches along each side of the image.
    slots
        Patterns the queue holds for each patch.
    shortcut
        Mixes the input with what was in-painted.
    """

    bits: Tensor

    def __init__(
        self, channels: int, side: int, grid: int, slots: int, shortcut: MaskedShortcut
    ) -> None:
        super().__init__()
        places = grid * grid
        narrow = channels // _REDUCTION
        width = narrow * side * side
        self._grid = grid
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()
        )
        self.queue = MemoryQueue(places, slots, width)
        self.attention = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        self.forward_layers = nn.Sequential(
            nn.Linear(width, width // _REDUCTION), nn.ReLU(), nn.Linear(width // _REDUCTION, width)
        )
        self.forward_norm = nn.LayerNorm(width)
        count = places.bit_length()
        bits = (torch.arange(places)[:, None] >> torch.arange(count)) & 1
        self.register_buffer("bits", bits.float()[:, :, None, None])
        self.widen = nn.Sequential(
            nn.Conv2d(narrow + count, channels, 1), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """In-paint the patches' features.

        Parameters
        ----------
        features
            Shape (B * grid * grid, channels, side, side).

        Returns
        -------
        tuple
            The in-painted features, of the same shape; and what the queue is to remember of the
            input, shape (B, grid * grid, width).
        """
        reduced = self.reduce(features)
        places = self._grid**2
        patches = reduced.reshape(len(features) // places, places, -1)
        normal = self.queue(patches)
        # Each patch asks its neighbours' normal patterns, never its own.
        around = neighbours(normal, self._grid).flatten(0, 1)
        asked, _ = self.attention(
            patches.reshape(-1, 1, patches.shape[2]), around, around, need_weights=False
        )
        rebuilt = functional.relu(self.attention_norm(asked.reshape(normal.shape) + normal))
        rebuilt = functional.relu(self.forward_norm(self.forward_layers(rebuilt) + rebuilt))
        where = self.bits.repeat(len(patches), 1, *reduced.shape[2:])
        widened = self.widen(torch.cat([rebuilt.reshape(reduced.shape), where], dim=1))
        return self.shortcut(features, widened), patches.detach()
