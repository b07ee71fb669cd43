"""What makes one synthetic patient differ from another."""

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np


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
