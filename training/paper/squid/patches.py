"""An image cut into a grid of patches, and put together again."""

from torch import Tensor
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
