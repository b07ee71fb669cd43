"""Lesions by the dozen: what disease does to a normal chest, painted.

Each function returns the painted grey values and the region, in [0, 1], that it meant to change.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from training.pretraining.lesions.chest import (
    NormalChest,
    Picture,
    between,
    log_between,
    single,
    step,
)

Painted = tuple[Picture, Picture]
Lesion = Callable[[NormalChest, NormalChest, Generator], Painted]
"""Takes the chest, another one, and the random stream."""


def consolidation(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """One to three opacities with ragged, soft edges, mostly within the lungs."""
    region = np.zeros_like(chest.pixels)
    for _number in range(int(rng.choice([1, 1, 1, 2, 3]))):
        radius = log_between(rng, 0.05, 0.35)
        radii = radius * log_between(rng, 0.6, 1.7), radius
        shape = chest.blob(
            rng,
            chest.place(rng),
            radii,
            angle=between(rng, 0, np.pi),
            ragged=between(rng, 0.1, 0.5),
            soft=between(rng, 0.1, 1.0),
        )
        region = np.maximum(region, shape)
    if rng.random() < 0.85:
        region = region * chest.smooth(chest.lungs, 0.015)
    if rng.random() < 0.5:
        region = region * (1 + 0.4 * chest.noise(rng, 16)).clip(0, 1)
    return _dense(chest, region, rng, between(rng, 0.2, 1.0))


def band(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """A plate of collapsed lung: a long, thin opacity, mostly lying flat in the lower half."""
    row, column = chest.place(rng)
    radii = between(rng, 0.08, 0.25), between(rng, 0.008, 0.03)
    angle = between(rng, -0.5, 0.5)
    shape = chest.blob(rng, (row, column), radii, angle=angle, ragged=0.1, soft=0.4)
    return _dense(chest, shape * chest.lungs, rng, between(rng, 0.3, 0.9))


def nodules(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """One to many round spots, from a grain to a mass."""
    count = int(rng.choice([1, 1, 2, 4, 10]))
    largest = 0.14 if count <= 2 else 0.05
    region = np.zeros_like(chest.pixels)
    for _number in range(count):
        radius = log_between(rng, 0.018, largest)
        radii = radius * between(rng, 0.8, 1.25), radius
        angle, soft = between(rng, 0, np.pi), between(rng, 0.1, 0.6)
        spot = chest.blob(rng, chest.place(rng), radii, angle=angle, ragged=0.12, soft=soft)
        region = np.maximum(region, spot * between(rng, 0.6, 1))
    return _dense(chest, region, rng, between(rng, 0.3, 1.0))


def zone(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """A lobe or a whole lung without air, bounded by its pleura; up to a white half."""
    lung = chest.lung(int(rng.integers(2)))
    kind = rng.random()
    edge = between(rng, 0.02, 0.15)
    slope = between(rng, -0.5, 0.5) * (chest.columns - chest.middle)
    if kind < 0.3:
        part = np.ones_like(chest.pixels)
    elif kind < 0.7:  # Lower zone.
        part = step((chest.rows - between(rng, 0.35, 0.75) + slope) / edge)
    else:
        part = step((between(rng, 0.25, 0.6) - chest.rows + slope) / edge)
    region = part * chest.smooth(lung, 0.015)
    if rng.random() < 0.5:
        region = region * (1 + 0.3 * chest.noise(rng, 6)).clip(0, 1)
    return _dense(chest, single(region), rng, between(rng, 0.3, 1.0))


def diffuse(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """Haze in both lungs: patchy, even, around the hila, or growing downwards."""
    lungs = chest.smooth(chest.lungs, 0.015)
    kind = int(rng.integers(4))
    if kind == 0:
        cells = int(rng.integers(4, 14))
        part = step((chest.noise(rng, cells) - between(rng, -0.8, 0.8)) / between(rng, 0.3, 1.5))
    elif kind == 1:
        part = (0.7 + 0.3 * chest.noise(rng, 4)).clip(0, 1)
    elif kind == 2:
        away = np.abs(chest.columns - chest.middle) / between(rng, 0.2, 0.35)
        height = (chest.rows - between(rng, 0.4, 0.6)) / between(rng, 0.2, 0.4)
        part = np.exp(-(away**2) - height**2) * (1 + 0.3 * chest.noise(rng, 8))
    else:
        part = step((chest.rows - between(rng, 0.3, 0.7)) / between(rng, 0.2, 0.6))
    region = (part.clip(0, 1) * lungs).astype(np.float32)
    painted, region = _dense(chest, region, rng, between(rng, 0.2, 0.9))
    if rng.random() < 0.5:
        return _net(NormalChest(painted, chest.lungs), region, rng, 0.1)
    return painted, region


def interstitial(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """A net of fine lines, or grains, in both lungs or a zone of them."""
    lungs = chest.smooth(chest.lungs, 0.01)
    if rng.random() < 0.6:
        fall = between(rng, 0.15, 0.5)
        lungs = lungs * step((chest.rows - between(rng, 0.2, 0.7)) * rng.choice([-1, 1]) / fall)
    if rng.random() < 0.3:
        lungs = lungs * chest.lung(int(rng.integers(2)))
    return _net(chest, lungs.astype(np.float32), rng, 0.22)


def effusion(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """Fluid at the bottom of one or both pleural spaces.

    It blunts the costophrenic angle, rises to a meniscus at the chest wall, and layers out behind
    the lung of a patient who lies.
    """
    sides = [0, 1] if rng.random() < 0.3 else [int(rng.integers(2))]
    region = np.zeros_like(chest.pixels)
    lying = rng.random() < 0.25
    for side in sides:
        lung = chest.lung(side) > 0.5
        if lung.sum() < 0.02 * lung.size:
            continue
        rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
        top, bottom = rows[[0, -1]] / chest.side
        left, right = columns[[0, -1]] / chest.side
        lateral = ((chest.columns - left) / (right - left)).clip(0, 1)
        lateral = 1 - lateral if side == 0 else lateral
        height = bottom - top
        if lying:
            depth = ((chest.rows - top) / height).clip(0, 1)
            fluid = depth ** between(rng, 0.5, 2) * chest.smooth(lung.astype(np.float32), 0.02)
        else:
            level = bottom - height * log_between(rng, 0.06, 0.75)
            rise = height * between(rng, 0.05, 0.3)
            surface = level - rise * (lateral**2 - 0.3 * (1 - lateral) ** 3)
            wet = ndimage.binary_dilation(lung, iterations=max(1, chest.side // 40))
            fluid = step((chest.rows - surface) / between(rng, 0.01, 0.06))
            fluid = fluid * chest.smooth(wet.astype(np.float32), 0.008)
        region = np.maximum(region, fluid)
    amount = between(rng, 0.25, 0.7) if lying else between(rng, 0.75, 1.0)
    return _dense(chest, single(region), rng, amount)


def big_heart(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """The heart reaches into the lungs, mostly on the picture's right; or a wide mediastinum."""
    if rng.random() < 0.75:
        centre = between(rng, 0.68, 0.8), chest.middle + between(rng, 0.02, 0.1)
        radii = between(rng, 0.24, 0.36), between(rng, 0.16, 0.28)
        angle = between(rng, 0.1, 0.6)
    else:
        centre = between(rng, 0.2, 0.5), chest.middle + between(rng, -0.05, 0.05)
        radii = between(rng, 0.1, 0.18), between(rng, 0.12, 0.25)
        angle = 0.0
    soft = between(rng, 0.04, 0.15)
    shape = chest.blob(rng, centre, radii, angle=angle, ragged=between(rng, 0.02, 0.1), soft=soft)
    beside = np.abs(chest.columns - chest.middle) < 0.08
    heart = chest.blurred[(np.abs(chest.rows - centre[0]) < 0.1) & beside]
    region = shape * chest.smooth(chest.lungs, 0.012)
    level = float(np.median(heart)) * between(rng, 0.85, 1.05)
    detail, amount = between(rng, 0.2, 0.9), between(rng, 0.7, 1.0)
    return chest.densify(region, amount, detail=detail, level=level), region


def pneumothorax(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """Air between lung and chest wall: no vessels, darker, and the lung's edge a fine line."""
    side = int(rng.integers(2))
    lung = chest.lung(side)
    shrink = between(rng, 0.55, 0.93)
    hilum = np.array([between(rng, 0.5, 0.75), chest.middle]) * chest.side
    inner = ndimage.affine_transform(
        lung, np.full(2, 1 / shrink), hilum * (1 - 1 / shrink), order=1
    )
    inner = chest.smooth(np.minimum(inner, lung), 0.008)
    air = (chest.smooth(lung, 0.008) - inner).clip(0, 1)
    # Ribs stay and vessels go.
    empty = chest.smooth(chest.pixels, between(rng, 0.007, 0.014)) - between(rng, 0.02, 0.12)
    painted = chest.pixels + air * (empty - chest.pixels)
    line = np.exp(-(((inner - 0.5) / 0.2) ** 2)) * ndimage.grey_erosion(lung, 5)
    painted = painted + between(rng, 0.05, 0.2) * line
    denser = (1 - shrink) * between(rng, 0, 0.6)
    painted = painted + denser * inner
    region = np.maximum.reduce([air, line, inner * min(1, 4 * denser)])
    return single(painted), single(region)


def bulla(chest: NormalChest, _: NormalChest, rng: Generator) -> Painted:
    """A dark, empty space, sometimes with a wall or a fluid level: emphysema, cavity, abscess."""
    radius = log_between(rng, 0.03, 0.15)
    radii = radius * between(rng, 0.7, 1.4), radius
    centre, angle = chest.place(rng), between(rng, 0, np.pi)
    state = rng.bit_generator.state
    hole = chest.blob(rng, centre, radii, angle=angle, ragged=0.1, soft=0.25)
    hole = hole * chest.lungs
    empty = chest.smooth(chest.pixels, 0.02) - between(rng, 0.05, 0.2)
    painted = chest.pixels + hole * (empty - chest.pixels)
    region = hole
    if rng.random() < 0.5:
        rng.bit_generator.state = state
        outer = chest.blob(
            rng, centre, (1.35 * radii[0], 1.35 * radii[1]), angle=angle, ragged=0.1, soft=0.25
        )
        wall = single((outer * chest.lungs - hole).clip(0, 1))
        painted = single(painted + between(rng, 0.04, 0.2) * wall)
        region = single(np.maximum(region, wall))
    return single(painted), region


def foreign(chest: NormalChest, other: NormalChest, rng: Generator) -> Painted:
    """A patch of another chest from another place, joined seamlessly.

    After NSA (Schlueter et al., arXiv 2109.15222); its mean brightness comes along, or does not.
    """
    radius = log_between(rng, 0.07, 0.3)
    region = chest.blob(
        rng,
        chest.place(rng),
        (radius * between(rng, 0.7, 1.5), radius),
        angle=between(rng, 0, np.pi),
        ragged=between(rng, 0.1, 0.4),
        soft=between(rng, 0.1, 0.5),
    )
    moves = rng.integers(-chest.side // 3, chest.side // 3, 2)
    moved = np.roll(other.pixels, tuple(moves), (0, 1))
    if rng.random() < 0.3:
        moved = moved[::-1]
    width = between(rng, 0.03, 0.1)
    texture = moved - chest.smooth(moved, width)
    joined = chest.smooth(chest.pixels, width) + texture + max(0, between(rng, -0.2, 0.2))
    painted = chest.pixels + region * (joined - chest.pixels)
    return single(painted), region


LESIONS: dict[Lesion, float] = {
    consolidation: 0.27,
    band: 0.03,
    nodules: 0.13,
    zone: 0.08,
    diffuse: 0.13,
    interstitial: 0.07,
    effusion: 0.1,
    big_heart: 0.06,
    pneumothorax: 0.04,
    bulla: 0.03,
    foreign: 0.06,
}
"""How often each is painted."""


def _dense(chest: NormalChest, region: Picture, rng: Generator, amount: float) -> Painted:
    level = chest.tissue * between(rng, 0.9, 1.15)
    detail = between(rng, 0.1, 0.9)
    painted = chest.densify(region, amount, detail=detail, level=level)
    if rng.random() < 0.5:
        grain = chest.noise(rng, int(rng.integers(20, 50))) * between(rng, 0, 0.05)
        painted = painted + amount * region * grain
    return single(painted), region


def _net(chest: NormalChest, region: Picture, rng: Generator, strongest: float) -> Painted:
    """Where smooth noise changes its sign there are lines, which join to a net."""
    scale = int(rng.integers(14, 36))
    waves = chest.noise(rng, min(scale, chest.side // 3))
    if rng.random() < 0.75:
        pattern = np.exp(-((waves / between(rng, 0.2, 0.5)) ** 2))
    else:
        pattern = step((waves - 0.8) / 0.4)
    strength = between(rng, 0.06, strongest + 0.06)
    painted = chest.pixels + strength * region * (pattern - 0.2)
    return single(painted), region
