"""DICOM files made for tests: the same picture in many encodings."""

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)

from wscxr.process import quiet_dicom

PATIENT_NAME = "Zzyzx^Quillon"
PATIENT_ID = "PID-7719-QX"


def picture(bits: int = 12, rows: int = 96, columns: int = 80, seed: int = 0) -> NDArray[np.uint16]:
    """Smooth random grey with fine texture, over the whole range of so many bits."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((rows // 16, columns // 16)), np.ones((16, 16)))
    mixed = 0.9 * coarse + 0.1 * rng.random((rows, columns))
    share = (mixed - mixed.min()) / (mixed.max() - mixed.min())
    whole: NDArray[np.uint16] = np.round(share * (2**bits - 1)).astype(np.uint16)
    return whole


def dataset(pixels: NDArray[Any] | None = None, bits: int = 12, **attributes: Any) -> Dataset:
    """A CR data set, explicit little endian, native; None as a value leaves an attribute out."""
    pixels = picture(bits) if pixels is None else pixels
    allocated = 8 if bits <= 8 else 16
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.SpecificCharacterSet = "ISO_IR 192"
    result.SOPClassUID = ComputedRadiographyImageStorage
    entropy = [str(attributes.pop("seed", 0))]
    result.SOPInstanceUID = generate_uid(entropy_srcs=[*entropy, "instance"])
    result.StudyInstanceUID = generate_uid(entropy_srcs=[*entropy, "study"])
    result.SeriesInstanceUID = generate_uid(entropy_srcs=[*entropy, "series"])
    result.StudyDate, result.StudyTime = "20240501", "101112"
    result.AccessionNumber = "ACC-1"
    result.Modality = "CR"
    result.Manufacturer = "Test"
    result.PatientName, result.PatientID = PATIENT_NAME, PATIENT_ID
    result.PatientBirthDate, result.PatientSex = "19700101", "O"
    result.ReferringPhysicianName = ""
    result.StudyID, result.SeriesNumber, result.InstanceNumber = "1", 1, 1
    result.BodyPartExamined, result.ViewPosition = "CHEST", "PA"
    result.PatientOrientation = ["L", "F"]
    result.SamplesPerPixel = 1
    result.PhotometricInterpretation = "MONOCHROME2"
    result.Rows, result.Columns = pixels.shape
    result.BitsAllocated, result.BitsStored, result.HighBit = allocated, bits, bits - 1
    result.PixelRepresentation = 0
    with quiet_dicom:  # attributes may be as wrong as those of real files
        for name, value in attributes.items():
            if value is None:
                delattr(result, name)
            else:
                setattr(result, name, value)
    result.PixelData = pixels.astype("<u1" if allocated == 8 else "<u2").tobytes()
    result["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return result


def written(source: Dataset, syntax: UID | None = None) -> bytes:
    """A Part 10 file; native syntaxes are written by hand where pydicom does not convert."""
    syntax = syntax or source.file_meta.TransferSyntaxUID
    source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    buffer = io.BytesIO()
    if syntax == ExplicitVRBigEndian:
        swapped = np.frombuffer(source.PixelData, "<u2").astype(">u2").tobytes()
        plain, source.PixelData = source.PixelData, swapped
        source.file_meta.TransferSyntaxUID = syntax
        source.set_original_encoding(None, None)
        dcmwrite(buffer, source, enforce_file_format=True)
        source.PixelData = plain
        source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return buffer.getvalue()
    source.file_meta.TransferSyntaxUID = syntax
    dcmwrite(buffer, source, enforce_file_format=True)
    return buffer.getvalue()


def without_meta(source: Dataset, *, implicit: bool) -> bytes:
    """The data set alone: no preamble, no file meta information."""
    buffer = io.BytesIO()
    bare = Dataset(source)
    dcmwrite(buffer, bare, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


def deflated_bomb(size: int) -> bytes:
    """A deflated file of almost nothing that inflates to `size` bytes."""
    file = written(dataset(), DeflatedExplicitVRLittleEndian)
    head = file[: 132 + 12 + int.from_bytes(file[140:144], "little")]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return head + deflate.compress(bytes(size)) + deflate.flush()
