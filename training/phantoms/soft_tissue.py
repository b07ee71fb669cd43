"""Soft tissue: the body around the lungs and the mediastinum between them."""

import numpy as np

from training.phantoms.geometry import SIDES, View, ellipsoid, rounded
from training.phantoms.patient import Patient
from training.phantoms.planes import Plane


def body(view: View, patient: Patient) -> Plane:
    """Neck, shoulders, trunk, upper arms and breasts, as if there were no air in them.

    Returns
    -------
    Plane
        Attenuation, 0 outside the body and about 1 in the middle of an average chest.
    """
    wall = patient.lung_width + patient.fat
    levels = [-1.2, -1.0, -0.94, -0.88, -0.82, -0.74, -0.62, -0.1, 0.05, 0.6, 1.2]
    widths = [0.24, 0.27, 0.42, 0.64, 0.86, 1.02, 1.12, wall + 0.09, wall + 0.03, wall, wall + 0.05]
    half_width = np.interp(view.y, levels, widths).astype(np.float32)
    depth = np.interp(view.y, [-1.0, -0.6, 0.0, 0.6, 1.0], [0.66, 0.80, 0.98, 1.10, 1.18])
    trunk = rounded(half_width - np.abs(view.x), 0.50) * depth.astype(np.float32)
    arm_radius = 0.14 + 0.3 * patient.fat
    arm_axis = 1.04 + 0.10 * (view.y + 0.4)
    arms = rounded(arm_radius - np.abs(np.abs(view.x) - arm_axis), arm_radius)
    arms *= 0.42 * rounded(view.y + 0.70, 0.5)
    tissue: Plane = np.maximum(trunk, arms) * np.float32(patient.thickness)
    for side in SIDES:
        breast = ellipsoid(view, (side * 0.44, 0.36), (0.32, 0.30), side * 0.2)
        tissue += max(0.0, patient.breast) * breast
    return tissue


def mediastinum(view: View, patient: Patient) -> Plane:
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
        ellipsoid(view, (0.36 * width, heart_y), (width, 0.78 * width), 0.55),  # ventricles
        ellipsoid(view, (-0.10, heart_y), (0.45 * width, 0.30)),  # right atrium
        ellipsoid(view, (0.10, heart_y - 0.25), (0.13, 0.26)),  # pulmonary outflow
        ellipsoid(view, (0.11, -0.30), (patient.knob, 1.15 * patient.knob)),  # aortic knob
        0.5 * ellipsoid(view, (0.08, 0.05), (0.09, 0.5)),  # descending aorta
        ellipsoid(view, (-0.08, -0.30), (0.08, 0.34)),  # superior vena cava
    ]
    share = 1.5 * np.maximum.reduce(dense)
    for side in SIDES:
        hilum = (side * 0.20, -0.06 + 0.02 * side)
        share += 0.5 * ellipsoid(view, hilum, (0.09, 0.15), -0.35 * side)
    return view.blur(np.clip(share, 0.0, 0.96), 0.008)
