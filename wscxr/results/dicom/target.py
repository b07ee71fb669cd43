"""What a result is made of: the source, completed to a valid header, and what was said of it."""

import uuid
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from wscxr import __version__
from wscxr.imaging import Radiograph
from wscxr.prediction import Prediction
from wscxr.results.dicom.capture import Capture
from wscxr.results.dicom.identity import (
    DERIVED_ROOT,
    MANUFACTURER,
    MODEL_NAME,
    NO_OOD,
    UNLIKE_TRAINING,
    ResultKind,
)
from wscxr.results.dicom.source import quotable

_TYPE_2 = (
    "AccessionNumber",
    "Laterality",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientOrientation",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""Patient and General Study modules (PS3.3, C.7.1.1, C.7.2.1), and
what results say of the image: there, if only empty."""

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

_NAMESPACE = uuid.UUID("5c0b4b3e-6c1f-4c55-9f0b-2f7b0a5d1e11")


def derived_uid(*what: str) -> UID:
    """A UID that follows from its arguments alone, by a name-based UUID (PS3.5, B.2)."""
    return UID(f"{DERIVED_ROOT}{uuid.uuid5(_NAMESPACE, chr(0).join(what)).int}")


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
    capture
        How a secondary capture is drawn and encoded.
    """

    kind: ResultKind
    source: Dataset
    radiograph: Radiograph
    prediction: Prediction
    capture: Capture

    def uid(self, *what: str) -> UID:
        """A UID that follows from source instance, bundle, kind and `what` (PS3.5, B.2)."""
        return self._derived(str(self.source.SOPInstanceUID), *what)

    @property
    def caution(self) -> str:
        """Why the score may mean little, in a sentence; empty where no reason is known."""
        if self.prediction.ood_score is None:
            return NO_OOD
        return UNLIKE_TRAINING if self.prediction.out_of_distribution else ""

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
        """Device Serial Number, which some constructors demand: the start of the bundle's hash."""
        return {"device_serial_number": self.prediction.model.sha256[:16]}

    def _derived(self, *what: str) -> UID:
        return derived_uid(self.prediction.model.sha256, self.kind, *what)


def evidence(header: Dataset) -> Dataset:
    """Complete a header that is `quotable`; the original stays as it is.

    Missing attributes that may be empty are added empty. A missing UID is derived from the others,
    so that the same header always gets the same one.

    Parameters
    ----------
    header
        Of the radiograph, without pixel data.
    """
    source = quotable(header)
    for name in _TYPE_2:
        if name not in source:
            setattr(source, name, "")
    known = [str(source.get(name, "")) for name in _UIDS]
    for name in _UIDS:
        if not source.get(name):
            setattr(source, name, derived_uid(name, *known))
    if not source.get("SOPClassUID"):
        source.SOPClassUID = SecondaryCaptureImageStorage
    if not source.get("Modality"):
        source.Modality = "OT"
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        # Some files hold zeros, which no object may.
        if name in source and not all(float(value) > 0 for value in source[name].value or [0]):
            delattr(source, name)
    source.file_meta = FileMetaDataset()
    # Tells highdicom how to read pixels, of which there are none any more.
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return source
