"""What a result is, whose it is, and the UIDs that follow from that."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID

from wscxr import __version__
from wscxr.bundle.store import Prediction
from wscxr.imaging import Radiograph
from wscxr.results.png import ColourScale

MANUFACTURER = "wscxr project"
MODEL_NAME = "wscxr"
"""Manufacturer's Model Name (0008,1090): by this results are known."""

RESEARCH = "For research use, not for diagnosis"

UNLIKE_TRAINING = "Unlike the training images: the score means little"


_NAMESPACE = uuid.UUID("5c0b4b3e-6c1f-4c55-9f0b-2f7b0a5d1e11")


def derived_uid(*what: str) -> UID:
    """A UID that follows from its arguments alone, by a name-based UUID (PS3.5, B.2)."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(what)).int}")


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


@dataclass(frozen=True)
class Algorithm:
    """The bundle that scored.

    Attributes
    ----------
    name, version
        Its name and version in the model store.
    sha256
        SHA-256 of its manifest, hexadecimal.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Target:
    """All that one result is made of.

    Attributes
    ----------
    kind
        What is made.
    source
        Header of the radiograph, completed by `evidence`.
    radiograph
        The radiograph as read.
    prediction
        What the bundle says of it.
    algorithm
        The bundle.
    scale
        Its colour scale.
    """

    kind: ResultKind
    source: Dataset
    radiograph: Radiograph
    prediction: Prediction
    algorithm: Algorithm
    scale: ColourScale

    def uid(self, *what: str) -> UID:
        """A UID that follows from source instance, bundle, kind and `what` (PS3.5, B.2)."""
        return self._derived(str(self.source.SOPInstanceUID), *what)

    @property
    def series_uid(self) -> UID:
        """Series Instance UID: one for all images of a study that one bundle scored."""
        return self._derived(str(self.source.StudyInstanceUID), "series")

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that every constructor of highdicom takes."""
        return {
            "series_instance_uid": self.series_uid,
            "series_number": self.kind.series_number,
            "sop_instance_uid": self.uid("instance"),
            "instance_number": max(int(self.source.get("InstanceNumber") or 1), 1),
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": __version__,
            "series_description": f"wscxr {self.kind} (research)",
        }

    @property
    def device(self) -> dict[str, Any]:
        """Device Serial Number, which some constructors demand: stands for the bundle."""
        return {"device_serial_number": self.algorithm.sha256[:16]}

    def _derived(self, *what: str) -> UID:
        return derived_uid(self.algorithm.sha256, self.kind, *what)


def is_own_result(header: Dataset) -> bool:
    """Whether an object was made here, by its header alone."""
    return str(header.get("ManufacturerModelName", "")) == MODEL_NAME
