"""A small U-Net: a grey picture in, a map of logits of the same size out."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from wscxr.errors import WeightsError
from wscxr.model.weights import read_weights

Network = TypeVar("Network", bound=nn.Module)

STEM = 2
"""The network computes on blocks of this many pixels a side: a quarter of the work, and the map,
which is shuffled back from the blocks' channels, keeps the picture's resolution."""


class UNet(nn.Module):
    """Dense prediction for one grey channel (Ronneberger et al., arXiv 1505.04597).

    Parameters
    ----------
    widths
        Channels at each level, the finest first; each level halves the one before it.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        finest = widths[0]
        self.stem = nn.Sequential(_convolution(STEM**2, finest), _convolution(finest, finest))
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(fine, coarse), _convolution(coarse, coarse))
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(
            _convolution(coarse + fine, fine) for fine, coarse in reversed(pairs)
        )
        self.head = nn.Conv2d(finest, STEM**2, kernel_size=1)
        self.multiple = STEM * 2 ** (len(widths) - 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the map.

        Parameters
        ----------
        pictures
            float32 of shape (B, 1, H, W) in [0, 1]; H and W are multiples of `multiple`.

        Returns
        -------
        Tensor
            Logits of shape (B, 1, H, W).
        """
        maps = [self.stem(functional.pixel_unshuffle(pictures, STEM))]
        for block in self.down:
            maps.append(block(functional.max_pool2d(maps[-1], 2)))
        found = maps.pop()
        for block in self.up:
            finer = functional.interpolate(found, scale_factor=2.0, mode="bilinear")
            found = block(torch.cat([finer, maps.pop()], dim=1))
        return functional.pixel_shuffle(self.head(found), STEM)


def load_weights(network: Network, path: Path) -> Network:
    """Load a network's own weights, and put it into evaluation mode.

    Raises
    ------
    WeightsUnavailable
        There is no such file.
    WeightsError
        The file is damaged, or of another network.
    """
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} holds no weights of a {type(network).__name__}") from error
    return network.requires_grad_(requires_grad=False).eval()


def _convolution(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
