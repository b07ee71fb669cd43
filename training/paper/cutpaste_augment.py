"""CutPaste's pretext task: normal images, and the same with a patch or a scar pasted in.

All random numbers are drawn on the CPU, so that one seed draws the same on every device.
"""

import torch
from torch import Tensor
from torch.nn import functional

CLASSES = 3
"""Normal, CutPaste, CutPaste-Scar."""

_PATCH_AREA = (0.02, 0.15)
"""Share of the image that a patch covers."""

_PATCH_ASPECT = ((0.3, 1.0), (1.0, 3.3))
"""Height by width of a patch: one of the two ranges, each as often."""

_SCAR_WIDTH, _SCAR_LENGTH, _SCAR_PIXELS = (2.0, 16.0), (10.0, 25.0), 256
"""Sides of a scar in pixels of an image of 256 px; other images have them in proportion."""

_THINNEST = 2**0.5
"""Sides of a scar in small images: any square of this side, however turned, covers the centre of
a pixel."""

_SCAR_TURN = 45.0
"""Largest rotation of a scar, in degrees, either way."""

_JITTER = 0.1
"""Brightness and contrast change by at most this share."""

_SHIFT = 16
"""Images are translated by at most their side divided by this."""


def three_views(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make the paper's 3-way classification task.

    Each image is translated and jittered first, as in the paper; how far, by a sixteenth of the
    side and by a tenth, is our choice. Grey images have no hue or saturation to change.

    Parameters
    ----------
    images
        Normal images, float32 of shape (B, 1, S, S) in [0, 1], on any device.
    generator
        On the CPU.

    Returns
    -------
    views
        float32 of shape (3 B, 1, S, S) in [0, 1]: the images, each with a patch, each with a scar.
    classes
        int64 of shape (3 B,): 0, 1 and 2.
    """
    normal = jitter(translate(images, generator), torch.ones_like(images), generator)
    views = torch.cat([normal, paste_patch(normal, generator), paste_scar(normal, generator)])
    classes = torch.arange(CLASSES, device=images.device).repeat_interleave(len(images))
    return views, classes


def translate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels; what comes into view repeats its border."""
    count, _, side, _ = images.shape
    most = side // _SHIFT
    shift = torch.randint(-most, most + 1, (2, count, 1), generator=generator)
    rows, columns = (torch.arange(side) + shift).clamp(0, side - 1).to(images.device)
    chosen = torch.arange(count, device=images.device)[:, None, None]
    return images[chosen, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def jitter(images: Tensor, region: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, and contrast about the mean of a region that is not empty.

    Parameters
    ----------
    images
        float32 of shape (B, 1, S, S) in [0, 1].
    region
        1 inside and 0 outside, of the same shape.

    Returns
    -------
    Tensor
        The whole images, changed, in [0, 1].
    """
    brightness, contrast = (
        _uniform(1 - _JITTER, 1 + _JITTER, len(images), generator).to(images)[:, None, None, None]
        for _ in range(2)
    )
    bright = images * brightness
    total, pixels = (bright * region).sum((1, 2, 3)), region.sum((1, 2, 3))
    mean = (total / pixels)[:, None, None, None]
    return (mean + contrast * (bright - mean)).clamp(0.0, 1.0)


def paste_patch(images: Tensor, generator: torch.Generator) -> Tensor:
    """CutPaste: a jittered copy of a rectangle of the same image, somewhere else in it."""
    count, side = len(images), images.shape[-1]
    area = _uniform(*_PATCH_AREA, count, generator) * side**2
    wide, tall = (_uniform(*aspect, count, generator) for aspect in _PATCH_ASPECT)
    aspect = torch.where(torch.rand(count, generator=generator) < 0.5, wide, tall)
    return _paste(
        images, (area * aspect).sqrt(), (area / aspect).sqrt(), torch.zeros(count), generator
    )


def paste_scar(images: Tensor, generator: torch.Generator) -> Tensor:
    """CutPaste-Scar: the same with a long, thin, rotated rectangle."""
    count, scale = len(images), images.shape[-1] / _SCAR_PIXELS
    width, length = (
        (_uniform(*sides, count, generator) * scale).clamp_min(_THINNEST)
        for sides in (_SCAR_WIDTH, _SCAR_LENGTH)
    )
    angle = torch.deg2rad(_uniform(-_SCAR_TURN, _SCAR_TURN, count, generator))
    return _paste(images, length, width, angle, generator)


def _paste(
    images: Tensor, height: Tensor, width: Tensor, angle: Tensor, generator: torch.Generator
) -> Tensor:
    """Cut an upright rectangle out of each image and paste it elsewhere, turned.

    Parameters
    ----------
    height, width
        Sides of the rectangles in pixels, float32 of shape (B,).
    angle
        By which they are turned, in radians, of the same shape.
    """
    count, side = len(images), images.shape[-1]
    extent = torch.stack([width, height], dim=1)
    target, source = (
        extent / 2 + torch.rand(count, 2, generator=generator) * (side - extent) for _ in range(2)
    )
    # Whole pixels apart, so that what is not turned is copied, not interpolated.
    source = target + (source - target).round()
    extent, target, source = (part[:, None].to(images) for part in (extent, target, source))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)

    centres = torch.arange(side, device=images.device) + 0.5
    pixels = torch.cartesian_prod(centres, centres).flip(1)
    within = (pixels - target) @ turn.view(-1, 2, 2).to(images)
    inside = (within.abs() <= extent / 2).all(-1).view(images.shape)
    grid = (source + within).view(count, side, side, 2) / side * 2 - 1
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return torch.where(inside, jitter(moved, inside.to(images), generator), images)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
