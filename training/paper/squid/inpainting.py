"""In-painting block: a patch's feature is rebuilt from normal patterns around it (Sec. 3.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.paper.squid.memory import MemoryQueue
from training.paper.squid.patches import neighbours
from training.paper.squid.shortcut import MaskedShortcut

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
