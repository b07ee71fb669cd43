"""A healthy chest: the measures of a patient, and the tissues that follow from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.phantoms.geometry import (
    LEFT,
    RIGHT,
    SIDES,
    Layer,
    PixelGrid,
    Plane,
    Points,
    cloud,
    ellipsoid,
    rounded,
)


def _between(low: float, high: float) -> dict[str, tuple[float, float]]:
    return {"range": (low, high)}


@dataclass(frozen=True)
class Patient:
    """The measures of one patient's anatomy.

    Lengths and positions are in body units, attenuations in units of the soft tissue of an average
    chest. The range of each measure stands beside it.

    Attributes
    ----------
    thickness
        Attenuation of the soft tissue, as a multiple of an average patient's.
    fat
        Thickness of the chest wall beside the lungs.
    lung_width
        From the midline to the outer edge of a lung.
    apex, base
        Levels of the lungs' tips and of the costophrenic angles.
    dome
        Height of the diaphragm's left dome above its angle.
    right_dome_rise
        How much higher the right dome is.
    heart_width
        Half of the ventricles' width.
    heart_sinking
        How far the heart sinks below the top of the left dome.
    knob
        Radius of the aortic knob.
    rib_top, rib_pitch, rib_drop
        Level of the first rib at the spine, distance from rib to rib, and about how far a
        rib descends from spine to sternum.
    clavicle_tilt
        How much more than usual the clavicles rise outwards.
    vascularity
        Attenuation of the largest vessels.
    bone
        Attenuation of dense bone.
    breast
        Attenuation of the breasts; none where negative.
    stomach_air
        Attenuation that the stomach's air bubble takes away; none where negative.
    """

    thickness: float = field(metadata=_between(0.92, 1.12))
    fat: float = field(metadata=_between(0.08, 0.24))
    lung_width: float = field(metadata=_between(0.66, 0.78))
    apex: float = field(metadata=_between(-0.84, -0.74))
    base: float = field(metadata=_between(0.56, 0.74))
    dome: float = field(metadata=_between(0.18, 0.28))
    right_dome_rise: float = field(metadata=_between(0.01, 0.09))
    heart_width: float = field(metadata=_between(0.27, 0.38))
    heart_sinking: float = field(metadata=_between(0.04, 0.12))
    knob: float = field(metadata=_between(0.07, 0.10))
    rib_top: float = field(metadata=_between(-0.82, -0.76))
    rib_pitch: float = field(metadata=_between(0.125, 0.150))
    rib_drop: float = field(metadata=_between(0.34, 0.50))
    clavicle_tilt: float = field(metadata=_between(-0.02, 0.12))
    vascularity: float = field(metadata=_between(0.16, 0.26))
    bone: float = field(metadata=_between(0.10, 0.16))
    breast: float = field(metadata=_between(-0.14, 0.16))
    stomach_air: float = field(metadata=_between(-0.25, 0.30))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw each measure uniformly from its range."""
        return cls(**{item.name: rng.uniform(*item.metadata["range"]) for item in fields(cls)})


def lung(grid: PixelGrid, patient: Patient, side: int) -> Plane:
    """One lung, before heart and vessels take their share.

    Parameters
    ----------
    grid, patient
        Where the pixels are, and whose lung it is.
    side
        ``RIGHT`` or ``LEFT``.

    Returns
    -------
    Plane
        Path through air, 0 to 1.
    """
    lateral = grid.x * np.float32(side)
    level = (grid.y - patient.apex) / (patient.base - patient.apex)
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
    air *= rounded(diaphragm - grid.y, 0.07)
    air *= 0.72 + 0.28 * np.clip(level / 0.4, 0.0, 1.0)
    return air


def airway(grid: PixelGrid) -> Plane:
    """Air in the trachea and the main bronchi (0 to 1)."""
    layer = Layer(grid)
    layer.line(np.array([[0.0, -1.2], [0.0, -0.6], [-0.012, -0.22]]), 0.075, 1.0)
    layer.line(np.array([[-0.012, -0.24], [-0.15, -0.08]]), 0.05, 0.7)
    layer.line(np.array([[-0.012, -0.24], [0.17, -0.10]]), 0.045, 0.7)
    return layer.plane(0.014)


def vascular_markings(grid: PixelGrid, rng: np.random.Generator) -> Plane:
    """Branching vessels of both lungs, thick at the hila and lost in the periphery (0 to 1)."""
    layer = Layer(grid)
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


def body(grid: PixelGrid, patient: Patient) -> Plane:
    """Neck, shoulders, trunk, upper arms and breasts, as if there were no air in them.

    Returns
    -------
    Plane
        Attenuation, 0 outside the body and about 1 in the middle of an average chest.
    """
    wall = patient.lung_width + patient.fat
    levels = [-1.2, -1.0, -0.94, -0.88, -0.82, -0.74, -0.62, -0.1, 0.05, 0.6, 1.2]
    widths = [0.24, 0.27, 0.42, 0.64, 0.86, 1.02, 1.12, wall + 0.09, wall + 0.03, wall, wall + 0.05]
    half_width = np.interp(grid.y, levels, widths).astype(np.float32)
    depth = np.interp(grid.y, [-1.0, -0.6, 0.0, 0.6, 1.0], [0.66, 0.80, 0.98, 1.10, 1.18])
    trunk = rounded(half_width - np.abs(grid.x), 0.50) * depth.astype(np.float32)
    arm_radius = 0.14 + 0.3 * patient.fat
    arm_axis = 1.04 + 0.10 * (grid.y + 0.4)
    arms = rounded(arm_radius - np.abs(np.abs(grid.x) - arm_axis), arm_radius)
    arms *= 0.42 * rounded(grid.y + 0.70, 0.5)
    tissue: Plane = np.maximum(trunk, arms) * np.float32(patient.thickness)
    for side in SIDES:
        breast = ellipsoid(grid, (side * 0.44, 0.36), (0.32, 0.30), side * 0.2)
        tissue += max(0.0, patient.breast) * breast
    return tissue


def mediastinum(grid: PixelGrid, patient: Patient) -> Plane:
    """Heart, great vessels and hila.

    Returns
    -------
    Plane
        Share of the lungs' air that they displace, 0 to 0.96.
    """
    width = patient.heart_width
    # The heart rests on the left dome and sinks a little below its top.
    heart_y = patient.base - patient.dome + patient.heart_sinking - 0.72 * width
    dense = [
        ellipsoid(grid, (0.36 * width, heart_y), (width, 0.78 * width), 0.55),  # ventricles
        ellipsoid(grid, (-0.10, heart_y), (0.45 * width, 0.30)),  # right atrium
        ellipsoid(grid, (0.10, heart_y - 0.25), (0.13, 0.26)),  # pulmonary outflow
        ellipsoid(grid, (0.11, -0.30), (patient.knob, 1.15 * patient.knob)),  # aortic knob
        0.5 * ellipsoid(grid, (0.08, 0.05), (0.09, 0.5)),  # descending aorta
        ellipsoid(grid, (-0.08, -0.30), (0.08, 0.34)),  # superior vena cava
    ]
    share = 1.5 * np.maximum.reduce(dense)
    for side in SIDES:
        hilum = (side * 0.20, -0.06 + 0.02 * side)
        share += 0.5 * ellipsoid(grid, hilum, (0.09, 0.15), -0.35 * side)
    return grid.blur(np.clip(share, 0.0, 0.96), 0.008)


_FULL_TURN = np.linspace(0.0, 2.0 * np.pi, 24)
_CIRCLE = np.stack([np.cos(_FULL_TURN), np.sin(_FULL_TURN)], axis=1)


def ribs(grid: PixelGrid, patient: Patient) -> Plane:
    """Posterior halves of the ribs, and the fainter anterior ones that cross them."""
    back, front = Layer(grid), Layer(grid)
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


def shoulder_girdle(grid: PixelGrid, patient: Patient) -> Plane:
    """Clavicles, scapulae and humeri."""
    clavicles, scapulae, humeri = Layer(grid), Layer(grid), Layer(grid)
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


def spine(grid: PixelGrid, rng: np.random.Generator) -> Plane:
    """Vertebral bodies, with pedicles and spinous processes over them."""
    bodies, processes = Layer(grid), Layer(grid)
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


@dataclass(frozen=True)
class Chest:
    """What the beam meets on its way through a chest without opacities.

    Attributes
    ----------
    attenuation
        Of everything together, in units of the soft tissue of an average chest: 0 outside the body,
        up to about 1.5.
    air
        Path through the lungs' air, 0 to 1.
    vessels
        The lung vessels' part of the attenuation.
    """

    attenuation: Plane
    air: Plane
    vessels: Plane


def healthy_chest(grid: PixelGrid, patient: Patient, rng: np.random.Generator) -> Chest:
    """Compose the chest of a patient.

    Parameters
    ----------
    grid, patient
        Where the pixels are, and whose chest it is.
    rng
        Draws what the measures of the patient leave open: vessels, spine and tissue texture.
    """
    lungs = lung(grid, patient, RIGHT) + lung(grid, patient, LEFT)
    air = lungs * (1.0 - mediastinum(grid, patient))
    vessels = np.float32(patient.vascularity) * air * vascular_markings(grid, rng)
    tissue = body(grid, patient) * (1.0 + 0.018 * cloud(rng, grid.size, 5, 11))
    aerated = tissue - 0.60 * air
    bones = ribs(grid, patient) + shoulder_girdle(grid, patient)
    # Dense tissue hardens and scatters the beam, so bone stands out less before it; and where there
    # is no body, there is no bone.
    bones *= 0.2 + 0.8 * np.clip(1.5 - 1.4 * aerated, 0.0, 1.0)
    bones *= np.clip(2.5 * tissue, 0.0, 1.0)
    stomach = ellipsoid(grid, (0.36, patient.base + 0.04), (0.17, 0.09))
    stomach *= np.clip(1.0 - 3.0 * lungs, 0.0, 1.0)
    attenuation: Plane = (
        aerated
        + vessels
        + 0.010 * air * cloud(rng, grid.size, 24, 48, 96)  # texture of the parenchyma
        - 0.13 * airway(grid)
        - max(0.0, patient.stomach_air) * stomach
        + patient.bone * (bones + 0.55 * spine(grid, rng))
    )
    return Chest(attenuation, air, vessels)
