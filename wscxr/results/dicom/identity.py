"""What results are called, and how one is recognised; needs neither PyTorch nor pydicom."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "wscxr project"
MODEL_NAME = "wscxr"
"""Manufacturer (0008,0070) and Manufacturer's Model Name (0008,1090) of every result."""

DERIVED_ROOT = "2.25."
"""Under this results have their UIDs, made from what they follow from (PS3.5, B.2)."""

RESEARCH = "For research use, not for diagnosis"

UNLIKE_TRAINING = "Unlike the training images: the score means little"

NO_OOD = "Not checked whether the image is unlike the training images"


class ResultKind(StrEnum):
    """The kinds of DICOM objects that are made.

    No Parametric Map (PS3.3, A.75) is among them: it demands pixel measures, plane position and
    plane orientation in a frame of reference, and a projection radiograph has none of these. The
    map itself is the ``raw16`` PNG of the service.
    """

    SC = "sc"
    SR = "sr"
    SEGMENTATION = "seg"
    GSPS = "gsps"

    @property
    def series_number(self) -> int:
        """Series Number: high, so that results stand behind the images."""
        return 9900 + list(ResultKind).index(self)


DEFAULT_KINDS = (ResultKind.SC, ResultKind.SR)


def is_own_result(header: "Dataset") -> bool:
    """Whether an object was made by this project, by its header alone.

    The equipment module must name this project, and the instance have a derived UID: no radiograph
    is left out for one of them alone.
    """
    equipment = (str(header.get(name, "")) for name in ("Manufacturer", "ManufacturerModelName"))
    derived = str(header.get("SOPInstanceUID", "")).startswith(DERIVED_ROOT)
    return derived and tuple(equipment) == (MANUFACTURER, MODEL_NAME)
