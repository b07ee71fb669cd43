"""What is no lesion: devices, letters, clothes, soft tissue, and how the picture was taken.

It is painted over chests with and without lesions alike, so the network learns to leave it out.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from training.pretraining.lesions.chest import (
    NormalChest,
    Picture,
    between,
    log_between,
    single,
    step,
)

_FINER = 3
"""Devices are drawn so much larger and scaled down, for smooth lines."""

_SHARES = {"tube": 0.25, "lead": 0.15, "box": 0.06, "clip": 0.12, "letter": 0.3}
_BREAST, _FOLD, _COVER = 0.3, 0.2, 0.1


def add_devices(chest: NormalChest, rng: Generator) -> Picture:
    """Lay tubes, leads, pacemakers, clips and letters over a chest.

    Returns
    -------
    ndarray
        Grey values; may pass 1.
    """
    wanted = [kind for kind, share in _SHARES.items() for _ in range(rng.geometric(1 - share) - 1)]
    if not wanted:
        return chest.pixels
    size = _FINER * chest.side
    layer = Image.new("F", (size, size))
    pen = ImageDraw.Draw(layer)
    for kind in wanted:
        bright = between(rng, 0.08, 0.6)
        match kind:
            case "tube":
                _tube(pen, size, rng, bright)
            case "lead":
                _lead(pen, size, rng, bright)
            case "box":
                _pacemaker(pen, size, rng, bright)
            case "clip":
                _clips(pen, size, rng)
            case _:
                _letter(pen, size, rng)
    small = layer.resize((chest.side, chest.side), Image.Resampling.BOX)
    devices = np.asarray(small)
    return single(chest.pixels + devices * (1.05 - 0.5 * chest.pixels))


def add_soft_tissue(chest: NormalChest, rng: Generator) -> Picture:
    """Breasts, folds of skin and cloth, and a sheet's edge: faint, large, and not in the lungs."""
    pixels = chest.pixels
    if rng.random() < _BREAST:
        row, half = between(rng, 0.55, 0.8), between(rng, 0.2, 0.3)
        radii = between(rng, 0.15, 0.28), between(rng, 0.15, 0.3)
        strength, soft = between(rng, 0.03, 0.18), log_between(rng, 0.1, 0.8)
        for sign in (-1, 1):
            centre = row + between(rng, -0.03, 0.03), 0.5 + sign * half
            shape = chest.blob(rng, centre, radii, ragged=0.0, soft=soft)
            # Only its lower border is sharp.
            shape = shape * step((chest.rows - centre[0] + 0.5 * radii[1]) / radii[1])
            pixels = pixels + strength * between(rng, 0.8, 1.2) * shape
    if rng.random() < _FOLD:
        across = _across(chest, rng)
        width = between(rng, 0.03, 0.3)
        fold = np.exp(-across.clip(0) / width) * step(across / 0.006)
        pixels = pixels + between(rng, -0.08, 0.08) * fold
    if rng.random() < _COVER:
        pixels = pixels + between(rng, 0, 0.08) * step(_across(chest, rng) / 0.006)
    return single(pixels)


def expose(chest: NormalChest, rng: Generator) -> Picture:
    """Another exposure, a turned patient, another sharpness, noise, and a collimated border."""
    pixels = chest.pixels
    side_light = 0.15 * rng.standard_normal() * (chest.columns - 0.5)
    down_light = 0.15 * rng.standard_normal() * (chest.rows - 0.5)
    pixels = pixels + side_light + down_light
    pixels = pixels + between(rng, 0, 0.06) * chest.noise(rng, 2)
    pixels = pixels.clip(1e-3, 1.2) ** np.exp(between(rng, -0.5, 0.5))
    pixels = (pixels - 0.5) * between(rng, 0.65, 1.2) + 0.5 + between(rng, -0.1, 0.1)
    pixels = single(pixels)
    around = chest.smooth(pixels, 0.12)
    pixels = pixels - between(rng, -0.15, 0.4) * (around - 0.5)
    fine = pixels - chest.smooth(pixels, 0.009)
    pixels = pixels + between(rng, -1, 0.8) * fine
    grain = single(rng.standard_normal(pixels.shape))
    if rng.random() < 0.3:
        grain = 2 * ndimage.gaussian_filter(grain, 0.8)
    pixels = single(pixels + grain * between(rng, 0, 0.2) ** 2)
    if rng.random() < 0.06:
        border = between(rng, 0, 0.1)
        beside = chest.columns if rng.random() < 0.5 else chest.rows
        beside = beside if rng.random() < 0.5 else 1 - beside
        pixels = np.where(beside < border, between(rng, 0, 0.1), pixels)
    return single(pixels)


def _across(chest: NormalChest, rng: Generator) -> Picture:
    """Signed distance from a random line, bent a little."""
    angle, offset = between(rng, 0, 2 * np.pi), between(rng, -0.35, 0.35)
    down, right = chest.rows - 0.5, chest.columns - 0.5
    along = right * np.sin(angle) + down * np.cos(angle)
    bent = right * np.cos(angle) - down * np.sin(angle) - offset
    return single(bent + between(rng, -0.5, 0.5) * along**2)


def _curve(
    size: int, rng: Generator, start: tuple[float, float], end: tuple[float, float]
) -> list[tuple[float, float]]:
    """Points of a cubic Bezier curve, (x, y)."""
    ends = np.array([start, end])
    bends = ends + rng.normal(0, 0.2, (2, 2))
    t = np.linspace(0, 1, 40)[:, None]
    points = (
        (1 - t) ** 3 * ends[0]
        + 3 * (1 - t) ** 2 * t * bends[0]
        + 3 * (1 - t) * t**2 * bends[1]
        + t**3 * ends[1]
    )
    return [(float(x), float(y)) for x, y in points * size]


def _tube(pen: ImageDraw.ImageDraw, size: int, rng: Generator, bright: float) -> None:
    """From the neck downwards, or from a side in: a line, or two walls with air between."""
    if rng.random() < 0.6:
        start = between(rng, 0.35, 0.65), -0.05
        end = between(rng, 0.35, 0.65), between(rng, 0.15, 1.1)
    else:
        start = float(rng.choice([-0.05, 1.05])), between(rng, 0, 1)
        end = between(rng, 0.2, 0.8), between(rng, 0.1, 0.9)
    points = _curve(size, rng, start, end)
    width = max(1, round(size * between(rng, 0.004, 0.014)))
    if rng.random() < 0.5:
        pen.line(points, fill=bright, width=width, joint="curve")
    else:
        gap = 1.5 * width
        for sign in (-1, 1):
            moved = [(x + sign * gap, y) for x, y in points]
            pen.line(moved, fill=bright, width=max(1, width // 2), joint="curve")


def _lead(pen: ImageDraw.ImageDraw, size: int, rng: Generator, bright: float) -> None:
    """A wire with an electrode at its end."""
    x, y = between(rng, 0.1, 0.9), between(rng, 0.05, 0.95)
    start = float(rng.choice([-0.05, 1.05])), between(rng, -0.1, 1)
    pen.line(_curve(size, rng, start, (x, y)), fill=bright, width=max(1, round(0.006 * size)))
    radius = size * between(rng, 0.012, 0.03)
    box = [x * size - radius, y * size - radius, x * size + radius, y * size + radius]
    pen.ellipse(box, fill=bright + 0.2)


def _pacemaker(pen: ImageDraw.ImageDraw, size: int, rng: Generator, bright: float) -> None:
    x = between(rng, 0.03, 0.25) if rng.random() < 0.5 else between(rng, 0.75, 0.97)
    y, half = between(rng, 0.05, 0.3), between(rng, 0.05, 0.09)
    corners = [
        (x - half) * size,
        (y - 0.8 * half) * size,
        (x + half) * size,
        (y + 0.8 * half) * size,
    ]
    end = between(rng, 0.45, 0.7), between(rng, 0.55, 0.85)
    pen.line(_curve(size, rng, (x, y), end), fill=bright, width=max(1, round(0.008 * size)))
    pen.rounded_rectangle(corners, radius=0.5 * half * size, fill=0.9)


def _clips(pen: ImageDraw.ImageDraw, size: int, rng: Generator) -> None:
    """Clips, buttons, snaps: small, very bright, with sharp edges."""
    x, y = between(rng, 0.05, 0.95), between(rng, 0.05, 0.95)
    for _ in range(int(rng.integers(1, 5))):
        half = np.array([between(rng, 0.004, 0.02), between(rng, 0.004, 0.02)])
        centre = np.array([x, y]) + rng.normal(0, 0.08, 2)
        box = [*((centre - half) * size), *((centre + half) * size)]
        if rng.random() < 0.5:
            pen.rectangle(box, fill=0.9)
        else:
            pen.ellipse(box, fill=0.9)


def _letter(pen: ImageDraw.ImageDraw, size: int, rng: Generator) -> None:
    """Letters and digits burnt in, mostly near the border."""
    text = "".join(rng.choice(list("LRAPERECT0123456789"), int(rng.choice([1, 1, 2, 5]))))
    x, y = between(rng, 0, 0.95), between(rng, 0, 0.95)
    if rng.random() < 0.75:
        x = between(rng, 0, 0.1) if rng.random() < 0.5 else between(rng, 0.85, 0.97)
    font = ImageFont.load_default(size * between(rng, 0.03, 0.1))
    pen.text((x * size, y * size), text, fill=between(rng, 0.4, 1), font=font)
