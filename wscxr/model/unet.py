"""A small U-Net: a grey picture in, a map of logits of the same size out."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from wscxr.engines import Blueprint, Network
from wscxr.errors import WeightsError
from wscxr.model.weights import read_weights

N = TypeVar("N", bound=nn.Module)

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


class DenseNetwork(nn.Module):
    """A U-Net that finds something in a grey picture of one size; a subclass says what.

    Attributes
    ----------
    side
        Of the square it looks at, px.
    widths
        See `UNet`.
    """

    side: ClassVar[int]
    widths: ClassVar[tuple[int, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet(self.widths)

    def forward(self, pictures: Tensor) -> Tensor:
        """Find it.

        Parameters
        ----------
        pictures
            float32 of shape (B, 1, side, side), percentile-stretched to [0, 1].

        Returns
        -------
        Tensor
            Logits of the same shape, positive where it is likely.
        """
        found: Tensor = self.unet(pictures)
        return found

    @classmethod
    def blueprint(cls, sha256: str, build: Callable[[], "DenseNetwork"]) -> Blueprint:
        """Describe such a network for an engine.

        Parameters
        ----------
        sha256
            Hash of its weights.
        build
            Makes it.
        """
        # In float32 by every engine: frames move with the lungs' edge, and a lesion map's mean is
        # a score.
        return Blueprint(
            shape=(1, cls.side, cls.side),
            key=f"{cls.__name__} {sha256}",
            build=build,
            one_core=True,
            exact=True,
        )


def probability(network: Network, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a `DenseNetwork` on one picture.

    Parameters
    ----------
    network
        A `DenseNetwork` that an engine runs.
    picture
        float32 of shape (side, side), percentile-stretched to [0, 1].

    Returns
    -------
    ndarray
        Probabilities, float32 of the same shape.
    """
    [logits] = network.run(picture[None, None])
    # Beyond 80 the exponential leaves the range of float32; the sigmoid is 0 or 1 long before.
    return np.asarray(1 / (1 + np.exp(-np.clip(logits[0, 0], -80, 80))), dtype=np.float32)


def load_weights(network: N, path: Path) -> N:
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
