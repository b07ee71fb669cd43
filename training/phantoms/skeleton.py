"""The bones that a chest radiograph shows.

Every function returns a density, 0 where there is no bone and about 1 for one dense bone; bones
that cross add up.
"""

import numpy as np
from numpy.typing import NDArray

from training.phantoms.canvas import Layer
from training.phantoms.geometry import SIDES, Points, View
from training.phantoms.patient import Patient
from training.phantoms.planes import Plane

_FULL_TURN = np.linspace(0.0, 2.0 * np.pi, 24)
_CIRCLE = np.stack([np.cos(_FULL_TURN), np.sin(_FULL_TURN)], axis=1)


def ribs(view: View, patient: Patient) -> Plane:
    """Posterior halves of the ribs, and the fainter anterior ones that cross them."""
    back, front = Layer(view), Layer(view)
    for side in SIDES:
        for number in range(10):
            width = 0.044 + 0.002 * number
            back.bone(_rib(patient, side, number, np.linspace(0.22, 1.66, 22)), width, 0.95)
            if number < 7:
                anterior = _rib(patient, side, number, np.linspace(1.57, 2.48, 14))
                front.bone(anterior, 1.15 * width, 0.55)
    return back.plane(0.004) + front.plane(0.008)


def _rib(patient: Patient, side: int, number: int, angles: NDArray[np.float64]) -> Points:
    """Points of a rib, a tilted hoop: ``angles`` run from the spine (0) to the sternum (pi)."""
    reach = (patient.lung_width + 0.02) * (1.0 - 0.60 * np.exp(-number / 1.3))
    drop = patient.rib_drop * (0.75 + 0.06 * number) * (1.0 - np.cos(angles)) / 2.0
    y = patient.rib_top + patient.rib_pitch * number + drop - 0.03 * np.sin(2.0 * angles)
    return np.stack([side * (0.02 + reach * np.sin(angles)), y], axis=1)


def shoulder_girdle(view: View, patient: Patient) -> Plane:
    """Clavicles, scapulae and humeri."""
    clavicles, scapulae, humeri = Layer(view), Layer(view), Layer(view)
    t = np.linspace(0.0, 1.0, 16)
    shaft_y = -0.56 - (0.10 + patient.clavicle_tilt) * t + 0.035 * np.sin(2.0 * np.pi * t)
    edge = patient.lung_width
    blade = np.array([[edge - 0.09, -0.58], [0.90, -0.62], [0.92, -0.42], [edge, 0.06]])
    for side in SIDES:
        mirror = np.array([side, 1.0])
        clavicles.bone(np.stack([0.08 + 0.80 * t, shaft_y], axis=1) * mirror, 0.065, 1.0)
        scapulae.polygon(blade * mirror, 0.28)
        scapulae.line(blade[[3, 2]] * mirror, 0.03, 0.8)
        scapulae.line(blade[[0, 3]] * mirror, 0.012, 0.5)
        humeri.polygon((0.13 * _CIRCLE + [1.0, -0.64]) * mirror, 0.7)
        humeri.bone(np.array([[1.02, -0.55], [1.05, 0.0], [1.08, 0.5]]) * mirror, 0.10, 0.9)
    return clavicles.plane(0.006) + scapulae.plane(0.010) + humeri.plane(0.010)


def spine(view: View, rng: np.random.Generator) -> Plane:
    """Vertebral bodies, with pedicles and spinous processes over them."""
    bodies, processes = Layer(view), Layer(view)
    first, pitch = rng.uniform(-1.05, -0.95), rng.uniform(0.105, 0.120)
    for y in np.arange(first, 1.1, pitch):
        half = 0.081 + 0.009 * y
        waist, foot = [0.9 * half, y + 0.45 * pitch], [half, y + 0.86 * pitch]
        right = np.array([[half, y], waist, foot])
        bodies.polygon(np.concatenate([right, right[::-1] * [-1.0, 1.0]]), 0.75)
        for x in (-0.62 * half, 0.62 * half):
            processes.polygon(_CIRCLE * [0.014, 0.024] + [x, y + 0.35 * pitch], 0.6)
        processes.polygon(_CIRCLE * [0.013, 0.029] + [0.0, y + 0.75 * pitch], 0.5)
    return bodies.plane(0.010) + processes.plane(0.008)
