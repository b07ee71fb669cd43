"""From attenuation to the image: exposure, film, and what the radiographer leaves on it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.phantoms.anatomy import Chest
from training.phantoms.geometry import PixelGrid, Plane, blur, resize


def expose(grid: PixelGrid, chest: Chest, opacity: Plane, rng: np.random.Generator) -> Plane:
    """Take the radiograph, with collimation and a side marker on some images.

    Exposure and equalisation follow the healthy anatomy, so that an opacity changes the image where
    it lies and nowhere else.

    Parameters
    ----------
    grid
        Gives the size of the image.
    chest
        The healthy anatomy.
    opacity
        Attenuation that opacities add to it, of shape (size, size).
    rng
        Draws noise, exposure, collimation and marker.

    Returns
    -------
    Plane
        Grey levels, 0 (black, air) to 1 (white, dense).
    """
    return _burn_in_marker(_collimate(_film(grid, chest, opacity, rng), rng), rng)


def _film(grid: PixelGrid, chest: Chest, opacity: Plane, rng: np.random.Generator) -> Plane:
    """Grey levels (0 to 1): quantum noise, regional equalisation, characteristic curve."""
    healthy = chest.attenuation
    quantum = grid.blur(rng.standard_normal(healthy.shape, dtype=np.float32), 0.0035)
    # Fewer photons pass through dense tissue; in the logarithm their noise is larger there.
    seen = healthy + opacity
    seen += rng.uniform(0.008, 0.014) * np.exp(0.9 * (seen - 0.5)) * quantum
    # The regional mean has no detail, so a coarse grid is enough and saves most of the time.
    coarse = blur(resize(healthy, 32, Image.Resampling.BOX), 4.0)
    region = rng.uniform(0.25, 0.45) * resize(coarse, grid.size, Image.Resampling.BICUBIC)
    reference = healthy - region
    dark, bright = np.median(reference[chest.air > 0.5]), np.percentile(reference, 85.0)
    level = (seen - region - dark) / (bright - dark)
    grey: Plane = 1.0 / (1.0 + np.exp(rng.uniform(-3.1, -2.5) * (level - rng.normal(0.52, 0.035))))
    # Where nothing is in the beam the film is burnt black, at any point of the curve.
    grey *= 0.03 + 0.97 * np.clip(healthy / 0.25, 0.0, 1.0)
    return grey


def _collimate(image: Plane, rng: np.random.Generator) -> Plane:
    """Blacken what the collimator shields, along some sides of some images."""
    size = len(image)
    margins = size * rng.uniform(0.01, 0.05, 4) * (rng.random(4) < 0.6) * (rng.random() < 0.35)
    top, bottom, left, right = np.round(margins).astype(int)
    window = np.zeros_like(image)
    window[top : size - bottom, left : size - right] = 1.0
    return image * window


def _burn_in_marker(image: Plane, rng: np.random.Generator) -> Plane:
    """Add the letter of a side in an upper corner, on some images."""
    size = len(image)
    letter, edge = ("L", 0.91) if rng.random() < 0.6 else ("R", 0.08)
    place = size * np.array([edge, 0.10]) + size * rng.uniform(-0.025, 0.025, 2)
    font = ImageFont.load_default(size * rng.uniform(0.05, 0.075))
    ink = 245 if rng.random() < 0.55 else 0  # 0 leaves no mark
    sheet = Image.new("L", (size, size))
    ImageDraw.Draw(sheet).text(tuple(place.tolist()), letter, fill=ink, font=font, anchor="mm")
    marked: Plane = np.maximum(image, np.asarray(sheet, dtype=np.float32) / 255.0)
    return marked
