"""What results are called, and how one is recognised; needs neither PyTorch nor pydicom."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "wscxr project"
MODEL_NAME = "wscxr"
"""Manufacturer's Model Name (0008,1090): results are recognised by it."""

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
    """Whether an object was made by this project, by its header alone."""
    return str(header.get("ManufacturerModelName", "")) == MODEL_NAME
