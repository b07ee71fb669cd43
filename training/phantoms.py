"""Synthetic frontal chest radiographs, with and without opacities whose masks are known.

No patient is involved: soft tissue, air and bone are modelled as path lengths along the beam,
summed into an attenuation image, given quantum noise and tone-mapped as a radiograph is (dense is
bright).

Positions are in *body units*: the image spans [-1, 1] on both axes, ``x`` to the right and ``y``
downwards, so the patient's right side has negative ``x``, as on a radiograph. Attenuation is in
units of the soft tissue of an average chest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

__all__ = ["Phantom", "make_phantom", "write_phantoms"]

Plane: TypeAlias = NDArray[np.float32]
Points: TypeAlias = NDArray[np.float64]

_MIN_SIZE = 64
_OVERSAMPLING = 2
_PNG_COMPRESSION = 6
_SIDES = (_RIGHT, _LEFT) = (-1, 1)
_FULL_TURN = np.linspace(0.0, 2.0 * np.pi, 24)
_CIRCLE = np.stack([np.cos(_FULL_TURN), np.sin(_FULL_TURN)], axis=1)


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph and the truth about it.

    Attributes
    ----------
    pixels : NDArray[np.uint8], shape (size, size)
        Grey levels, 0 (black, air) to 255 (white, dense).
    lesion_mask : NDArray[np.bool_], shape (size, size)
        True where an opacity was added; all False in a normal image.

    """

    pixels: NDArray[np.uint8]
    lesion_mask: NDArray[np.bool_]


def _between(low: float, high: float) -> Any:
    return field(metadata={"range": (low, high)})


@dataclass(frozen=True)
class _Patient:
    """The measures in which one patient's anatomy differs from another's."""

    thickness: float = _between(0.92, 1.12)
    fat: float = _between(0.08, 0.24)
    lung_width: float = _between(0.66, 0.78)
    apex: float = _between(-0.84, -0.74)
    base: float = _between(0.56, 0.74)
    dome: float = _between(0.18, 0.28)
    right_dome_rise: float = _between(0.01, 0.09)
    heart_width: float = _between(0.27, 0.38)
    heart_sinking: float = _between(0.04, 0.12)
    knob: float = _between(0.07, 0.10)
    rib_top: float = _between(-0.82, -0.76)
    rib_pitch: float = _between(0.125, 0.150)
    rib_drop: float = _between(0.34, 0.50)
    clavicle_tilt: float = _between(-0.02, 0.12)
    vascularity: float = _between(0.16, 0.26)
    bone: float = _between(0.10, 0.16)
    # Negative means none.
    breast: float = _between(-0.14, 0.16)
    stomach_air: float = _between(-0.25, 0.30)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        return cls(**{item.name: rng.uniform(*item.metadata["range"]) for item in fields(cls)})


class _View:
    """How the patient stands before the detector: pixel grid, small rotation and shift."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        angle = np.deg2rad(rng.normal(0.0, 1.3))
        self._shift = rng.normal(0.0, 0.02, 2)
        cos, sin = np.cos(angle), np.sin(angle)
        self._turn = np.array([[cos, -sin], [sin, cos]])
        ticks = (np.arange(size) + 0.5) * 2.0 / size - 1.0
        body = (np.stack(np.meshgrid(ticks, ticks), axis=-1) - self._shift) @ self._turn
        self.x: Plane = np.ascontiguousarray(body[..., 0], dtype=np.float32)
        self.y: Plane = np.ascontiguousarray(body[..., 1], dtype=np.float32)

    def pixels(self, length: float) -> float:
        return length * self.size / 2.0

    def to_pixels(self, points: Points) -> Points:
        turned: Points = points @ self._turn.T
        return (turned + (self._shift + 1.0)) * (self.size / 2.0)

    def blur(self, image: Plane, radius: float) -> Plane:
        return _blur(image, self.pixels(radius))


class _Layer:
    """Oversampled canvas for thin structures: later shapes replace earlier ones."""

    def __init__(self, view: _View) -> None:
        self._view = view
        self._image = Image.new("L", (view.size * _OVERSAMPLING,) * 2)
        self._draw = ImageDraw.Draw(self._image)

    def _path(self, points: Points) -> list[float]:
        path: list[float] = (self._view.to_pixels(points) * _OVERSAMPLING).ravel().tolist()
        return path

    def polygon(self, points: Points, density: float) -> None:
        self._draw.polygon(self._path(points), fill=round(255 * density))

    def line(self, points: Points, width: float, density: float) -> None:
        width = self._view.pixels(width) * _OVERSAMPLING
        # A line cannot be thinner than one canvas pixel: below that it gets fainter instead.
        ink = round(255 * density * min(1.0, width))
        self._draw.line(self._path(points), fill=ink, width=max(1, round(width)))

    def bone(self, points: Points, width: float, density: float) -> None:
        """Draw a long bone: dense cortex around fainter marrow."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across *= 0.5 * width / np.linalg.norm(along, axis=1, keepdims=True)
        for scale, ink in ((1.0, density), (0.66, 0.72 * density)):
            edges = [points + scale * across, (points - scale * across)[::-1]]
            self.polygon(np.concatenate(edges), ink)

    def plane(self, softness: float) -> Plane:
        """Density of what was drawn (0 to 1), shape (size, size), blurred."""
        density = np.asarray(self._image.reduce(_OVERSAMPLING), dtype=np.float32) / 255.0
        return self._view.blur(density, softness)


def _blur(image: Plane, sigma: float) -> Plane:
    blurred: Plane = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    return blurred


def _resize(image: Plane, side: int, how: Image.Resampling) -> Plane:
    return np.asarray(Image.fromarray(image).resize((side, side), how))


def _rounded(inside: Plane, reach: float) -> Plane:
    """Path through a body whose edge is round: 0 outside, 1 at ``reach`` and deeper inside."""
    outer = 1.0 - np.clip(inside / reach, 0.0, 1.0)
    path: Plane = np.sqrt(1.0 - outer * outer)
    return path


def _ellipsoid(view: _View, centre: ArrayLike, radii: ArrayLike, tilt: float = 0.0) -> Plane:
    """Path through an ellipsoid: 1 at its centre, 0 outside."""
    (x, y), (width, height) = np.asarray(centre).tolist(), np.asarray(radii).tolist()
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    across = (cos * (view.x - x) + sin * (view.y - y)) / width
    down = (cos * (view.y - y) - sin * (view.x - x)) / height
    path: Plane = np.sqrt(np.clip(1.0 - across * across - down * down, 0.0, None))
    return path


def _cloud(rng: np.random.Generator, size: int, *grains: int) -> Plane:
    """Smooth noise of unit variance, the sum of scales with so many grains across the image."""
    total = np.zeros((size, size), np.float32)
    for count in grains:
        grain = rng.standard_normal((count, count), dtype=np.float32)
        total += _resize(grain, size, Image.Resampling.BICUBIC)
    unit: Plane = total / total.std()
    return unit


def _soft_tissue(view: _View, patient: _Patient) -> Plane:
    """Neck, shoulders, trunk, upper arms and breasts, as if there were no air in them."""
    wall = patient.lung_width + patient.fat
    levels = [-1.2, -1.0, -0.94, -0.88, -0.82, -0.74, -0.62, -0.1, 0.05, 0.6, 1.2]
    widths = [0.24, 0.27, 0.42, 0.64, 0.86, 1.02, 1.12, wall + 0.09, wall + 0.03, wall, wall + 0.05]
    half_width = np.interp(view.y, levels, widths).astype(np.float32)
    depth = np.interp(view.y, [-1.0, -0.6, 0.0, 0.6, 1.0], [0.66, 0.80, 0.98, 1.10, 1.18])
    trunk = _rounded(half_width - np.abs(view.x), 0.50) * depth.astype(np.float32)
    arm_radius = 0.14 + 0.3 * patient.fat
    arm_axis = 1.04 + 0.10 * (view.y + 0.4)
    arms = _rounded(arm_radius - np.abs(np.abs(view.x) - arm_axis), arm_radius)
    arms *= 0.42 * _rounded(view.y + 0.70, 0.5)
    tissue: Plane = np.maximum(trunk, arms) * np.float32(patient.thickness)
    for side in _SIDES:
        breast = _ellipsoid(view, (side * 0.44, 0.36), (0.32, 0.30), side * 0.2)
        tissue += max(0.0, patient.breast) * breast
    return tissue


def _lung(view: _View, patient: _Patient, side: int) -> Plane:
    """Air path through one lung before heart and vessels take their share (0 to 1)."""
    lateral = view.x * np.float32(side)
    level = (view.y - patient.apex) / (patient.base - patient.apex)
    tip = 0.45 * patient.lung_width
    widening = _rounded(level, 0.34)
    chest_wall = patient.lung_width * (0.76 + 0.24 * np.sin(1.6 * np.clip(level, 0.0, 1.0)))
    outer = tip + (chest_wall - tip) * widening
    inner = tip + (0.10 - tip) * widening
    height = patient.dome + (patient.right_dome_rise if side == _RIGHT else 0.0)
    slope = (lateral - tip) / (patient.lung_width - tip)
    # The dome falls steeply to the costophrenic angle and gently towards the heart.
    fall = np.where(slope > 0.0, height, 0.35 * patient.dome).astype(np.float32)
    diaphragm = patient.base - height + fall * slope * slope
    air = _rounded(outer - lateral, 0.26) * _rounded(lateral - inner, 0.14)
    air *= _rounded(diaphragm - view.y, 0.07)
    air *= 0.72 + 0.28 * np.clip(level / 0.4, 0.0, 1.0)
    return air


def _mediastinum(view: _View, patient: _Patient) -> Plane:
    """Share of the lungs' air that heart, great vessels and hila displace (0 to 1)."""
    width = patient.heart_width
    # The heart rests on the left dome and sinks a little below its top.
    heart_y = patient.base - patient.dome + patient.heart_sinking - 0.72 * width
    dense = [
        _ellipsoid(view, (0.36 * width, heart_y), (width, 0.78 * width), 0.55),  # ventricles
        _ellipsoid(view, (-0.10, heart_y), (0.45 * width, 0.30)),  # right atrium
        _ellipsoid(view, (0.10, heart_y - 0.25), (0.13, 0.26)),  # pulmonary outflow
        _ellipsoid(view, (0.11, -0.30), (patient.knob, 1.15 * patient.knob)),  # aortic knob
        0.5 * _ellipsoid(view, (0.08, 0.05), (0.09, 0.5)),  # descending aorta
        _ellipsoid(view, (-0.08, -0.30), (0.08, 0.34)),  # superior vena cava
    ]
    share = 1.5 * np.maximum.reduce(dense)
    for side in _SIDES:
        hilum = (side * 0.20, -0.06 + 0.02 * side)
        share += 0.5 * _ellipsoid(view, hilum, (0.09, 0.15), -0.35 * side)
    return view.blur(np.clip(share, 0.0, 0.96), 0.008)


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


def _vascular_markings(view: _View, rng: np.random.Generator) -> Plane:
    """Branching vessels of both lungs, thick at the hila and lost in the periphery (0 to 1)."""
    layer = _Layer(view)
    segments = [segment for side in _SIDES for segment in _branches(rng, side)]
    # Thick vessels are drawn last, so that thin ones do not cut through them.
    for points, width in sorted(segments, key=lambda segment: segment[1]):
        layer.line(points, width, min(1.0, 0.25 + 22.0 * width))
    return layer.plane(0.006)


def _rib(patient: _Patient, side: int, number: int, angles: Points) -> Points:
    """Points of a rib, a tilted hoop: ``angles`` run from the spine (0) to the sternum (pi)."""
    reach = (patient.lung_width + 0.02) * (1.0 - 0.60 * np.exp(-number / 1.3))
    drop = patient.rib_drop * (0.75 + 0.06 * number) * (1.0 - np.cos(angles)) / 2.0
    y = patient.rib_top + patient.rib_pitch * number + drop - 0.03 * np.sin(2.0 * angles)
    return np.stack([side * (0.02 + reach * np.sin(angles)), y], axis=1)


def _ribs(view: _View, patient: _Patient) -> Plane:
    """Posterior halves of the ribs, and the fainter anterior ones that cross them."""
    back, front = _Layer(view), _Layer(view)
    for side in _SIDES:
        for number in range(10):
            width = 0.044 + 0.002 * number
            back.bone(_rib(patient, side, number, np.linspace(0.22, 1.66, 22)), width, 0.95)
            if number < 7:
                anterior = _rib(patient, side, number, np.linspace(1.57, 2.48, 14))
                front.bone(anterior, 1.15 * width, 0.55)
    return back.plane(0.004) + front.plane(0.008)


def _shoulder_girdle(view: _View, patient: _Patient) -> Plane:
    """Clavicles, scapulae and humeri."""
    clavicles, scapulae, humeri = _Layer(view), _Layer(view), _Layer(view)
    t = np.linspace(0.0, 1.0, 16)
    shaft_y = -0.56 - (0.10 + patient.clavicle_tilt) * t + 0.035 * np.sin(2.0 * np.pi * t)
    edge = patient.lung_width
    blade = np.array([[edge - 0.09, -0.58], [0.90, -0.62], [0.92, -0.42], [edge, 0.06]])
    for side in _SIDES:
        mirror = np.array([side, 1.0])
        clavicles.bone(np.stack([0.08 + 0.80 * t, shaft_y], axis=1) * mirror, 0.065, 1.0)
        scapulae.polygon(blade * mirror, 0.28)
        scapulae.line(blade[[3, 2]] * mirror, 0.03, 0.8)
        scapulae.line(blade[[0, 3]] * mirror, 0.012, 0.5)
        humeri.polygon((0.13 * _CIRCLE + [1.0, -0.64]) * mirror, 0.7)
        humeri.bone(np.array([[1.02, -0.55], [1.05, 0.0], [1.08, 0.5]]) * mirror, 0.10, 0.9)
    return clavicles.plane(0.006) + scapulae.plane(0.010) + humeri.plane(0.010)


def _spine(view: _View, rng: np.random.Generator) -> Plane:
    """Vertebral bodies, with pedicles and spinous processes over them."""
    bodies, processes = _Layer(view), _Layer(view)
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


def _airway(view: _View) -> Plane:
    """Air in the trachea and the main bronchi."""
    layer = _Layer(view)
    layer.line(np.array([[0.0, -1.2], [0.0, -0.6], [-0.012, -0.22]]), 0.075, 1.0)
    layer.line(np.array([[-0.012, -0.24], [-0.15, -0.08]]), 0.05, 0.7)
    layer.line(np.array([[-0.012, -0.24], [0.17, -0.10]]), 0.045, 0.7)
    return layer.plane(0.014)


def _healthy(
    view: _View, patient: _Patient, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Attenuation without opacities, the lungs' air path (0 to 1), and the vessels' attenuation."""
    lungs = _lung(view, patient, _RIGHT) + _lung(view, patient, _LEFT)
    air = lungs * (1.0 - _mediastinum(view, patient))
    vessels = np.float32(patient.vascularity) * air * _vascular_markings(view, rng)
    tissue = _soft_tissue(view, patient) * (1.0 + 0.018 * _cloud(rng, view.size, 5, 11))
    aerated = tissue - 0.60 * air
    bones = _ribs(view, patient) + _shoulder_girdle(view, patient)
    # Dense tissue hardens and scatters the beam, so bone stands out less before it; and where there
    # is no body, there is no bone.
    bones *= 0.2 + 0.8 * np.clip(1.5 - 1.4 * aerated, 0.0, 1.0)
    bones *= np.clip(2.5 * tissue, 0.0, 1.0)
    stomach = _ellipsoid(view, (0.36, patient.base + 0.04), (0.17, 0.09))
    stomach *= np.clip(1.0 - 3.0 * lungs, 0.0, 1.0)
    attenuation: Plane = (
        aerated
        + vessels
        + 0.010 * air * _cloud(rng, view.size, 24, 48, 96)  # texture of the parenchyma
        - 0.13 * _airway(view)
        - max(0.0, patient.stomach_air) * stomach
        + patient.bone * (bones + 0.55 * _spine(view, rng))
    )
    return attenuation, air, vessels


def _consolidation(view: _View, centre: Points, rng: np.random.Generator) -> Plane:
    """Patchy airspace opacity with a soft, irregular boundary (about 0 to 1)."""
    core = _ellipsoid(view, centre, rng.uniform(0.27, 0.50, 2), rng.uniform(0.0, np.pi))
    patches = _cloud(rng, view.size, 8, 16, 32)
    level = np.clip((core * core - 0.55 + 0.18 * patches) / 0.5 + 0.2, 0.0, 1.0)
    grain = 1.0 + 0.07 * _cloud(rng, view.size, 30, 60)
    opacity: Plane = level * level * (3.0 - 2.0 * level) * grain * np.clip(4.0 * core, 0.0, 1.0)
    return opacity


def _nodule(view: _View, centre: Points, rng: np.random.Generator) -> Plane:
    """Round, slightly lobulated mass (0 to 1)."""
    radius = rng.uniform(0.08, 0.20)
    distance = np.hypot(view.x - np.float32(centre[0]), view.y - np.float32(centre[1])) / radius
    return _rounded(1.0 - distance + 0.05 * _cloud(rng, view.size, 12, 24), 0.8)


def _opacities(
    view: _View, air: Plane, vessels: Plane, rng: np.random.Generator
) -> tuple[Plane, NDArray[np.bool_]]:
    """Attenuation that one to three opacities add inside the lungs, and where they are."""
    sites = np.flatnonzero(ndimage.minimum_filter(air, round(view.pixels(0.10))) > 0.45)
    room = np.clip(air / 0.35, 0.0, 1.0)
    added, filled = np.zeros_like(air), np.zeros_like(air)
    mask = np.zeros(air.shape, np.bool_)
    for _ in range(rng.integers(1, 4)):
        site = rng.choice(sites)
        centre = np.array([view.x.flat[site], view.y.flat[site]])
        make = _consolidation if rng.random() < 0.6 else _nodule
        opacity = view.blur(room * make(view, centre, rng), 0.006)
        here = opacity > 0.25
        # Faint islands apart from the opacity would be lesion that the mask denies.
        opacity *= ndimage.maximum_filter(here, 2 * round(view.pixels(0.04)) + 1)
        added = np.maximum(added, rng.uniform(0.27, 0.40) * opacity)
        filled = np.maximum(filled, np.clip(opacity, 0.0, 1.0))
        mask |= here
    # Vessels are seen against air only, so they fade where it is replaced.
    added -= 0.8 * filled * vessels
    return added, mask


def _expose(
    view: _View, healthy: Plane, opacity: Plane, air: Plane, rng: np.random.Generator
) -> Plane:
    """Grey levels (0 to 1): quantum noise, regional equalisation, characteristic curve.

    Exposure and equalisation follow the healthy anatomy, so that an opacity changes the image where
    it lies and nowhere else.
    """
    quantum = view.blur(rng.standard_normal(healthy.shape, dtype=np.float32), 0.0035)
    # Fewer photons pass through dense tissue; in the logarithm their noise is larger there.
    seen = healthy + opacity
    seen += rng.uniform(0.008, 0.014) * np.exp(0.9 * (seen - 0.5)) * quantum
    # The regional mean has no detail, so a coarse grid is enough and saves most of the time.
    coarse = _blur(_resize(healthy, 32, Image.Resampling.BOX), 4.0)
    region = rng.uniform(0.25, 0.45) * _resize(coarse, view.size, Image.Resampling.BICUBIC)
    reference = healthy - region
    dark, bright = np.median(reference[air > 0.5]), np.percentile(reference, 85.0)
    level = (seen - region - dark) / (bright - dark)
    grey: Plane = 1.0 / (1.0 + np.exp(rng.uniform(-3.1, -2.5) * (level - rng.normal(0.52, 0.035))))
    # Where nothing is in the beam the film is burnt black, whatever the curve says.
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
    ink = 245 if rng.random() < 0.55 else 0
    sheet = Image.new("L", (size, size))
    ImageDraw.Draw(sheet).text(tuple(place.tolist()), letter, fill=ink, font=font, anchor="mm")
    marked: Plane = np.maximum(image, np.asarray(sheet, dtype=np.float32) / 255.0)
    return marked


def make_phantom(seed: int, *, abnormal: bool, size: int = 256) -> Phantom:
    """Make one synthetic frontal chest radiograph.

    The same seed always gives the same anatomy, exposure and noise; ``abnormal`` adds one to three
    opacities to it and changes nothing elsewhere.

    Parameters
    ----------
    seed : int
        Identity of the synthetic patient, not negative.
    abnormal : bool
        Whether to add opacities.
    size : int
        Width and height in pixels, at least 64.

    Returns
    -------
    Phantom
        ``uint8`` grey levels and the boolean mask of the opacities, both ``(size, size)``.

    Raises
    ------
    ValueError
        If ``seed`` is negative or ``size`` is below 64.

    """
    if size < _MIN_SIZE:
        raise ValueError(f"size must be at least {_MIN_SIZE}, got {size}")
    # Separate streams: drawing opacities must not shift any other random number.
    streams = np.random.SeedSequence(seed).spawn(3)
    anatomy_rng, exposure_rng, lesion_rng = map(np.random.default_rng, streams)
    view, patient = _View(anatomy_rng, size), _Patient.draw(anatomy_rng)
    healthy, air, vessels = _healthy(view, patient, anatomy_rng)
    opacity, mask = np.zeros_like(healthy), np.zeros(healthy.shape, np.bool_)
    if abnormal:
        opacity, mask = _opacities(view, air, vessels, lesion_rng)
    grey = _collimate(_expose(view, healthy, opacity, air, exposure_rng), exposure_rng)
    grey = _burn_in_marker(grey, exposure_rng)
    return Phantom(np.round(255.0 * np.clip(grey, 0.0, 1.0)).astype(np.uint8), mask)


def write_phantoms(
    out: Path, *, normal: int, abnormal: int, size: int = 256, seed: int = 0
) -> None:
    """Write a data set of phantoms, each of a different synthetic patient, as 8-bit PNG.

    Parameters
    ----------
    out : Path
        Folder to fill; made if missing, and files of the same names are replaced. It receives
        ``normal/NNNN.png``, ``abnormal/NNNN.png`` and ``masks/NNNN.png``, counted from ``0000``; a
        mask is 0 or 255 and belongs to the abnormal image of the same name.
    normal, abnormal : int
        How many images of each kind, not negative.
    size : int
        Width and height in pixels, at least 64.
    seed : int
        Chooses the patients, not negative.

    Raises
    ------
    ValueError
        If a count or ``seed`` is negative or ``size`` is below 64.
    OSError
        If a file or folder cannot be written.

    """
    if normal < 0 or abnormal < 0:
        raise ValueError(f"counts must not be negative, got {normal} and {abnormal}")

    def save(image: NDArray[np.uint8], kind: str, number: int) -> None:
        path = out / kind / f"{number:04d}.png"
        Image.fromarray(image).save(path, compress_level=_PNG_COMPRESSION)

    for kind in ("normal", "abnormal", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    patients = np.random.SeedSequence(seed).generate_state(normal + abnormal, np.uint64).tolist()
    for number, patient in enumerate(patients[:normal]):
        save(make_phantom(patient, abnormal=False, size=size).pixels, "normal", number)
    for number, patient in enumerate(patients[normal:]):
        phantom = make_phantom(patient, abnormal=True, size=size)
        save(phantom.pixels, "abnormal", number)
        save(np.where(phantom.lesion_mask, np.uint8(255), np.uint8(0)), "masks", number)
