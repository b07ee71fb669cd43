"""From the bytes of a file to the input of a model; every input limit lives here."""

from wscxr.imaging.dicom_rules import Assumed, DicomRules, LateralRule
from wscxr.imaging.limits import ImageLimits
from wscxr.imaging.model_input import InputConfig, Intensity, to_model_input
from wscxr.imaging.radiograph import Radiograph
from wscxr.imaging.reader import read_radiograph

__all__ = [
    "Assumed",
    "DicomRules",
    "ImageLimits",
    "InputConfig",
    "Intensity",
    "LateralRule",
    "Radiograph",
    "read_radiograph",
    "to_model_input",
]
