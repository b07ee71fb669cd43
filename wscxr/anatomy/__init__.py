"""Where the lungs are: the frame every chest is brought to, and the way back to its own pixels."""

from wscxr.anatomy.box import LungBox, lung_box
from wscxr.anatomy.facts import LungFacts, PixelBox
from wscxr.anatomy.frame import Frame
from wscxr.anatomy.lungs import LungFields, find_lungs, shipped_lung_network
from wscxr.anatomy.network import LungNetwork
from wscxr.anatomy.prepare import ModelInput, Preparation

__all__ = [
    "Frame",
    "LungBox",
    "LungFacts",
    "LungFields",
    "LungNetwork",
    "ModelInput",
    "PixelBox",
    "Preparation",
    "find_lungs",
    "lung_box",
    "shipped_lung_network",
]
