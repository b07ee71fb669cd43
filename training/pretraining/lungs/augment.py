"""Random pictures for the lung network: other framing, exposure and disease; and no chest at all.

The masks stay what they are under all that is done to the tones, so the network learns to draw a
lung that an opacity has made white. Of a picture that is no upright chest in positive tones the
mask is empty: an inverted or upside-down radiograph must not find lungs.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from wscxr.anatomy.network import INPUT_SIDE

_MAX_SCALE, _MAX_ASPECT, _MAX_MOVE = 0.28, 0.2, 0.2
_USUAL_ANGLE, _MAX_ANGLE = 0.08, 0.45  # radians: most chests stand upright, some do not
_MAX_GAMMA, _MAX_CONTRAST, _MAX_OFFSET, _MAX_NOISE = 0.6, 0.35, 0.15, 0.05
_OPACIFIED, _COVERED, _COLLIMATED = 0.35, 0.25, 0.15
"""Shares of the pictures with painted opacities, with burnt-in blocks, with dark borders."""
_FOREIGN = {
    "negative": 0.05,
    "upside down": 0.05,
    "on its side": 0.02,
    "puzzle": 0.04,
    "noise": 0.04,
}
"""Shares of the pictures that are made into no upright chest."""


def draw_pictures(
    pixels: Tensor, masks: Tensor, generator: torch.Generator, *, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw one training picture of each radiograph.

    Parameters
    ----------
    pixels, masks
        float32 of shape (B, 1, side, side) in [0, 1].
    generator
        The random stream.
    strength
        How far framing and exposure go, and how often something is painted; in [0, 1]. How many
        pictures are no upright chest does not depend on it.

    Returns
    -------
    tuple
        Pictures and their masks, float32 of shape (B, 1, INPUT_SIDE, INPUT_SIDE) in [0, 1].
    """
    grid = functional.affine_grid(
        _frames(len(pixels), strength, generator),
        [len(pixels), 1, INPUT_SIDE, INPUT_SIDE],
        align_corners=False,
    )
    pixels, masks = (
        functional.grid_sample(part, grid, align_corners=False) for part in (pixels, masks)
    )
    pixels = _expose(_opacify(pixels, masks, strength, generator), strength, generator)
    pixels, masks = _cover(pixels, masks, strength, generator)
    pixels, masks = _make_foreign(stretch(pixels, generator), masks, generator)
    return pixels, masks


def stretch(pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Stretch each picture between its percentiles, as the network's input is.

    Parameters
    ----------
    pixels
        float32 of shape (B, 1, H, W).
    generator
        Where given, the percentiles vary.

    Returns
    -------
    Tensor
        float32 of the same shape in [0, 1].
    """
    flat = pixels.flatten(1).sort(dim=1).values
    cut = torch.full((2, len(flat)), 0.005)
    if generator is not None:
        cut = 0.02 * torch.rand(2, len(flat), generator=generator)
    places = (cut * flat.shape[1]).long().clamp(max=flat.shape[1] - 1)
    low = flat.gather(1, places[0][:, None])[:, :, None, None]
    high = flat.gather(1, flat.shape[1] - 1 - places[1][:, None])[:, :, None, None]
    return ((pixels - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)


def _frames(count: int, strength: float, generator: torch.Generator) -> Tensor:
    scale = torch.exp(_uniform((count,), strength * _MAX_SCALE, generator))
    aspect = torch.exp(_uniform((count,), strength * _MAX_ASPECT / 2, generator))
    moved = _uniform((2, count), strength * _MAX_MOVE, generator)
    tilted = torch.rand(count, generator=generator) < 0.3
    angle = _uniform((count,), strength, generator) * torch.where(tilted, _MAX_ANGLE, _USUAL_ANGLE)
    mirror = 1.0 - 2 * torch.randint(2, (count,), generator=generator)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([scale * aspect * cos * mirror, -scale / aspect * sin, moved[0]], dim=1),
        torch.stack([scale * aspect * sin * mirror, scale / aspect * cos, moved[1]], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _opacify(pixels: Tensor, lungs: Tensor, often: float, generator: torch.Generator) -> Tensor:
    """Whiten parts of some lungs, up to a whole one or both; the ribs may be lost in it."""
    count = len(pixels)
    centre = 3 * _each(count, generator) - 1.5
    cells = int(torch.randint(2, 6, (1,), generator=generator))
    region = torch.sigmoid((_noise(count, cells, generator) - centre) * 4)
    chosen = _each(count, generator) < often * _OPACIFIED
    dense = 0.95 * _each(count, generator) * chosen
    level = 0.45 + 0.5 * _each(count, generator) + 0.05 * _noise(count, 16, generator)
    share = dense * region * functional.avg_pool2d(lungs, 9, 1, 4)
    return pixels + share * (level - pixels).clamp(min=0)


def _expose(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    count = len(pixels)
    gamma, contrast, offset, drift = (
        _uniform((count, 1, 1, 1), strength * width, generator)
        for width in (_MAX_GAMMA, _MAX_CONTRAST, _MAX_OFFSET, 0.25)
    )
    pixels = pixels.clamp(min=1e-3, max=1) ** torch.exp(gamma)
    # Local contrast, as some devices even it out and others leave it.
    around = functional.interpolate(functional.avg_pool2d(pixels, 16), INPUT_SIDE, mode="bilinear")
    pixels = pixels - strength * (0.7 * _each(count, generator) - 0.2) * (around - 0.5)
    pixels = (pixels - 0.5) * (1 + contrast) + 0.5 + offset
    pixels = pixels + drift * _noise(count, 2, generator) * (_each(count, generator) < 0.5)
    blurred = transforms.gaussian_blur_image(pixels, [5, 5], [1.2, 1.2])
    sharp = (1.5 * _each(count, generator) - 0.5).clamp(min=0) ** 0.5
    pixels = blurred + (pixels - blurred) * (1 + strength * (sharp - 1))
    grain = torch.randn(pixels.shape, generator=generator)
    return pixels + grain * strength * _MAX_NOISE * _each(count, generator) ** 2


def _cover(
    pixels: Tensor, masks: Tensor, often: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Burn in blocks like letters and devices, and dark borders like a collimator's.

    A lung goes on behind a block; behind a border it is not in the picture.
    """
    count, side = len(pixels), pixels.shape[-1]
    place = torch.linspace(0, 1, side)
    rows, columns = place[None, None, :, None], place[None, None, None, :]
    for _ in range(2):
        middle = [_each(count, generator) for _ in range(2)]
        half = [0.01 + 0.12 * _each(count, generator) ** 2 for _ in range(2)]
        inside = ((rows - middle[0]).abs() < half[0]) & ((columns - middle[1]).abs() < half[1])
        inside &= _each(count, generator) < often * _COVERED
        pixels = torch.where(inside, 1.6 * _each(count, generator) - 0.3, pixels)
    edge = 0.15 * torch.rand(count, 4, 1, 1, 1, generator=generator)
    bordered = _each(count, generator) < often * _COLLIMATED
    above_or_below = (rows < edge[:, 0]) | (rows > 1 - edge[:, 1])
    beside = above_or_below | (columns < edge[:, 2]) | (columns > 1 - edge[:, 3])
    border = beside & bordered
    level = 0.1 * _each(count, generator)
    return torch.where(border, level, pixels), masks.masked_fill(border, 0)


def _make_foreign(
    pixels: Tensor, masks: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Make some pictures into no upright chest, and empty their masks."""
    pixels, masks = pixels.clone(), masks.clone()
    drawn = torch.rand(len(pixels), generator=generator)
    bound = 0.0
    for kind, share in _FOREIGN.items():
        chosen = (drawn >= bound) & (drawn < bound + share)
        bound += share
        for number in chosen.nonzero()[:, 0].tolist():
            pixels[number, 0] = _foreign(kind, pixels[number, 0], generator)
            masks[number] = 0
    return pixels, masks


def _foreign(kind: str, picture: Tensor, generator: torch.Generator) -> Tensor:
    match kind:
        case "negative":
            return 1 - picture
        case "upside down":
            return picture.flip(0)
        case "on its side":
            return picture.T.flip(int(torch.randint(2, (1,), generator=generator)))
        case "puzzle":
            return _puzzle(picture, int(torch.randint(2, 5, (1,), generator=generator)), generator)
        case _:
            return _clouds(generator)


def _puzzle(picture: Tensor, parts: int, generator: torch.Generator) -> Tensor:
    """The picture's own parts, none in its place."""
    size = picture.shape[0] // parts
    rows = picture[: size * parts, : size * parts].reshape(parts, size, parts, size)
    tiles = rows.transpose(1, 2).reshape(parts**2, size, size)
    order = torch.randperm(parts**2, generator=generator)
    moved = torch.empty_like(tiles)
    moved[order] = tiles[order.roll(1)]
    shuffled = moved.reshape(parts, parts, size, size).transpose(1, 2)
    whole = shuffled.reshape(1, 1, size * parts, size * parts)
    return functional.interpolate(whole, INPUT_SIDE, mode="bilinear")[0, 0]


def _clouds(generator: torch.Generator) -> Tensor:
    """Noise of a random roughness, with bars and discs in it: photographs, limbs, skulls."""
    falling = float(torch.rand(1, generator=generator)) * 1.5
    picture = torch.zeros(1, 1, INPUT_SIDE, INPUT_SIDE)
    for octave in range(1, 7):
        picture = picture + _noise(1, 2**octave, generator) * 2 ** (-falling * octave)
    along = torch.linspace(-1, 1, INPUT_SIDE)
    for _ in range(int(torch.randint(0, 6, (1,), generator=generator))):
        turn, at, half, length = torch.rand(4, generator=generator).tolist()
        cos, sin = math.cos(math.pi * turn), math.sin(math.pi * turn)
        across = cos * along[:, None] + sin * along[None, :] - (2 * at - 1)
        beside = cos * along[None, :] - sin * along[:, None]
        bar = torch.sigmoid((0.3 * half - across.abs()) * 40)
        bar = bar * torch.sigmoid((0.2 + length - beside.abs()) * 40)
        height = float(torch.randn(1, generator=generator)) * picture.std() * 2
        picture = picture + height * bar
    return stretch(picture)[0, 0]


def _noise(count: int, cells: int, generator: torch.Generator) -> Tensor:
    coarse = torch.randn(count, 1, cells, cells, generator=generator)
    return functional.interpolate(coarse, INPUT_SIDE, mode="bilinear")


def _each(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator)


def _uniform(shape: tuple[int, ...], half_width: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * half_width
