"""Small shifts and zooms of the training images."""

import torch
from torch import Tensor
from torch.nn import functional

_SHIFT = 0.05
_ZOOM = 0.05


def shift_and_zoom(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 5 % of its side and zoom it by up to 5 %; black comes in.

    Parameters
    ----------
    images
        Shape (B, 1, size, size) in [0, 1], on the CPU.
    generator
        Where the shifts and zooms are drawn from.
    """
    zoom, right, down = torch.empty(3, len(images)).uniform_(-1, 1, generator=generator)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / (1 + _ZOOM * zoom)
    # An image reaches from -1 to 1.
    theta[:, 0, 2], theta[:, 1, 2] = 2 * _SHIFT * right, 2 * _SHIFT * down
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
