"""Synthetic frontal chest radiographs, with and without opacities whose masks are known.

No patient is involved: soft tissue, air and bone are modelled as path lengths along the beam,
summed into an attenuation image, given quantum noise and tone-mapped as a radiograph is (dense is
bright).
"""

from training.phantoms.phantom import Phantom, make_phantom, write_phantoms

__all__ = ["Phantom", "make_phantom", "write_phantoms"]
