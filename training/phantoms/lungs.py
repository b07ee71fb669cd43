"""The lungs' air, the airway that leads to it and the vessels that branch through it."""

from collections.abc import Iterator

import numpy as np

from training.phantoms.canvas import Layer
from training.phantoms.geometry import RIGHT, SIDES, Points, View, rounded
from training.phantoms.patient import Patient
from training.phantoms.planes import Plane


def lung(view: View, patient: Patient, side: int) -> Plane:
    """One lung, before heart and vessels take their share.

    Parameters
    ----------
    view, patient
        Where the pixels are, and whose lung it is.
    side
        ``RIGHT`` or ``LEFT``.

    Returns
    -------
    Plane
        Path through air, 0 to 1.
    """
    lateral = view.x * np.float32(side)
    level = (view.y - patient.apex) / (patient.base - patient.apex)
    tip = 0.45 * patient.lung_width
    widening = rounded(level, 0.34)
    chest_wall = patient.lung_width * (0.76 + 0.24 * np.sin(1.6 * np.clip(level, 0.0, 1.0)))
    outer = tip + (chest_wall - tip) * widening
    inner = tip + (0.10 - tip) * widening
    height = patient.dome + (patient.right_dome_rise if side == RIGHT else 0.0)
    slope = (lateral - tip) / (patient.lung_width - tip)
    # The dome falls steeply to the costophrenic angle and gently towards the heart.
    fall = np.where(slope > 0.0, height, 0.35 * patient.dome).astype(np.float32)
    diaphragm = patient.base - height + fall * slope * slope
    air = rounded(outer - lateral, 0.26) * rounded(lateral - inner, 0.14)
    air *= rounded(diaphragm - view.y, 0.07)
    air *= 0.72 + 0.28 * np.clip(level / 0.4, 0.0, 1.0)
    return air


def airway(view: View) -> Plane:
    """Air in the trachea and the main bronchi (0 to 1)."""
    layer = Layer(view)
    layer.line(np.array([[0.0, -1.2], [0.0, -0.6], [-0.012, -0.22]]), 0.075, 1.0)
    layer.line(np.array([[-0.012, -0.24], [-0.15, -0.08]]), 0.05, 0.7)
    layer.line(np.array([[-0.012, -0.24], [0.17, -0.10]]), 0.045, 0.7)
    return layer.plane(0.014)


def vascular_markings(view: View, rng: np.random.Generator) -> Plane:
    """Branching vessels of both lungs, thick at the hila and lost in the periphery (0 to 1)."""
    layer = Layer(view)
    segments = [segment for side in SIDES for segment in _branches(rng, side)]
    # Thick vessels are drawn last, so that thin ones do not cut through them.
    for points, width in sorted(segments, key=lambda segment: segment[1]):
        layer.line(points, width, min(1.0, 0.25 + 22.0 * width))
    return layer.plane(0.006)


def _branches(rng: np.random.Generator, side: int) -> Iterator[tuple[Points, float]]:
    """Segments (two points, width) of one lung's vessel tree, from the hilum outwards."""
    trunks = 7
    start = rng.normal([side * 0.19, -0.05], 0.02, (trunks, 2))
    heading = np.linspace(-1.25, 1.35, trunks) + rng.normal(0.0, 0.12, trunks)
    width, length = 0.034, 0.16
    for _ in range(6):
        ahead = np.stack([side * np.cos(heading), np.sin(heading)], axis=1)
        end = start + ahead * length * rng.uniform(0.7, 1.3, (len(heading), 1))
        for segment in np.stack([start, end], axis=1):
            yield segment, width
        start = np.repeat(end, 2, axis=0)
        fork = np.tile([-0.30, 0.30], len(heading)) + rng.normal(0.0, 0.16, 2 * len(heading))
        heading = np.repeat(heading, 2) + fork
        width, length = 0.66 * width, 0.83 * length
