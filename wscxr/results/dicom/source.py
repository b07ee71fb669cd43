"""The header of the radiograph, completed to what a valid object can be derived from."""

import copy

from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from wscxr.results.dicom.identity import derived_uid

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


def evidence(header: Dataset) -> Dataset:
    """Complete a header; the original stays as it is.

    Missing attributes that may be empty are added empty. A missing UID is derived from the others,
    so that the same header always gets the same one.

    Parameters
    ----------
    header
        Of the radiograph, without pixel data.
    """
    source = copy.deepcopy(header)
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
    if not hasattr(source, "file_meta"):
        source.file_meta = FileMetaDataset()
    # Tells highdicom how to read pixels, of which there are none any more.
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return source
