"""A healthy chest, composed of its tissues."""

from dataclasses import dataclass

import numpy as np

from training.phantoms.geometry import LEFT, RIGHT, View, ellipsoid
from training.phantoms.lungs import airway, lung, vascular_markings
from training.phantoms.patient import Patient
from training.phantoms.planes import Plane, cloud
from training.phantoms.skeleton import ribs, shoulder_girdle, spine
from training.phantoms.soft_tissue import body, mediastinum


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


def healthy_chest(view: View, patient: Patient, rng: np.random.Generator) -> Chest:
    """Compose the chest of a patient.

    Parameters
    ----------
    view, patient
        Where the pixels are, and whose chest it is.
    rng
        Draws what the measures of the patient leave open: vessels, spine and tissue texture.
    """
    lungs = lung(view, patient, RIGHT) + lung(view, patient, LEFT)
    air = lungs * (1.0 - mediastinum(view, patient))
    vessels = np.float32(patient.vascularity) * air * vascular_markings(view, rng)
    tissue = body(view, patient) * (1.0 + 0.018 * cloud(rng, view.size, 5, 11))
    aerated = tissue - 0.60 * air
    bones = ribs(view, patient) + shoulder_girdle(view, patient)
    # Dense tissue hardens and scatters the beam, so bone stands out less before it; and where there
    # is no body, there is no bone.
    bones *= 0.2 + 0.8 * np.clip(1.5 - 1.4 * aerated, 0.0, 1.0)
    bones *= np.clip(2.5 * tissue, 0.0, 1.0)
    stomach = ellipsoid(view, (0.36, patient.base + 0.04), (0.17, 0.09))
    stomach *= np.clip(1.0 - 3.0 * lungs, 0.0, 1.0)
    attenuation: Plane = (
        aerated
        + vessels
        + 0.010 * air * cloud(rng, view.size, 24, 48, 96)  # texture of the parenchyma
        - 0.13 * airway(view)
        - max(0.0, patient.stomach_air) * stomach
        + patient.bone * (bones + 0.55 * spine(view, rng))
    )
    return Chest(attenuation, air, vessels)
