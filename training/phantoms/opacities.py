"""The lesions: opacities inside the lungs, and the mask of where they are."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.phantoms.anatomy import Chest
from training.phantoms.geometry import Pair, PixelGrid, Plane, cloud, ellipsoid, rounded


def draw_opacities(
    grid: PixelGrid, chest: Chest, rng: np.random.Generator
) -> tuple[Plane, NDArray[np.bool_]]:
    """Draw one to three opacities, each a consolidation or a nodule.

    Parameters
    ----------
    grid
        Gives each pixel its place.
    chest
        The healthy chest that they are to lie in; it is left as it is.
    rng
        Draws number, kinds, places and shapes.

    Returns
    -------
    added : Plane
        What they add to the chest's attenuation, 0 (away from them) to about 0.5; less where they
        hide a vessel.
    mask : NDArray[np.bool_]
        True where an opacity is, of shape (size, size).
    """
    air = chest.air
    sites = np.flatnonzero(ndimage.minimum_filter(air, round(grid.pixels(0.10))) > 0.45)
    room = np.clip(air / 0.35, 0.0, 1.0)
    added, filled = np.zeros_like(air), np.zeros_like(air)
    mask = np.zeros(air.shape, np.bool_)
    for _ in range(rng.integers(1, 4)):
        site = rng.choice(sites)
        centre = (float(grid.x.flat[site]), float(grid.y.flat[site]))
        make = _consolidation if rng.random() < 0.6 else _nodule
        opacity = grid.blur(room * make(grid, centre, rng), 0.006)
        here = opacity > 0.25
        # Faint islands apart from the opacity would be lesion that the mask denies.
        opacity *= ndimage.maximum_filter(here, 2 * round(grid.pixels(0.04)) + 1)
        added = np.maximum(added, rng.uniform(0.27, 0.40) * opacity)
        filled = np.maximum(filled, np.clip(opacity, 0.0, 1.0))
        mask |= here
    # Vessels are seen against air only, so they fade where it is replaced.
    added -= 0.8 * filled * chest.vessels
    return added, mask


def _consolidation(grid: PixelGrid, centre: Pair, rng: np.random.Generator) -> Plane:
    """Patchy airspace opacity with a soft, irregular boundary (about 0 to 1)."""
    radii = (rng.uniform(0.27, 0.50), rng.uniform(0.27, 0.50))
    core = ellipsoid(grid, centre, radii, rng.uniform(0.0, np.pi))
    patches = cloud(rng, grid.size, 8, 16, 32)
    level = np.clip((core * core - 0.55 + 0.18 * patches) / 0.5 + 0.2, 0.0, 1.0)
    grain = 1.0 + 0.07 * cloud(rng, grid.size, 30, 60)
    opacity: Plane = level * level * (3.0 - 2.0 * level) * grain * np.clip(4.0 * core, 0.0, 1.0)
    return opacity


def _nodule(grid: PixelGrid, centre: Pair, rng: np.random.Generator) -> Plane:
    """Round, slightly lobulated mass (0 to 1)."""
    (x, y), radius = centre, rng.uniform(0.08, 0.20)
    distance = np.hypot(grid.x - x, grid.y - y) / radius
    return rounded(1.0 - distance + 0.05 * cloud(rng, grid.size, 12, 24), 0.8)
