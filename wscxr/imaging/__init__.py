"""From the bytes of a file to the input of a model; every input limit lives here."""

from wscxr.imaging.dicom.rules import Assumed, DicomRules, LateralRule
from wscxr.imaging.limits import ImageLimits
from wscxr.imaging.model_input import InputConfig, to_model_input, to_unit_range
from wscxr.imaging.radiograph import Radiograph, View
from wscxr.imaging.reader import (
    Source,
    find_images,
    from_array,
    is_image,
    looks_like_dicom,
    open_source,
    read_radiograph,
)

__all__ = [
    "Assumed",
    "DicomRules",
    "ImageLimits",
    "InputConfig",
    "LateralRule",
    "Radiograph",
    "Source",
    "View",
    "find_images",
    "from_array",
    "is_image",
    "looks_like_dicom",
    "open_source",
    "read_radiograph",
    "to_model_input",
    "to_unit_range",
]
