"""Bytes -> data set, within bounds; no pixel is decoded here."""

import zlib
from collections.abc import Callable
from typing import Literal

from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from wscxr.errors import CorruptImage, FileTooLarge, ImageError, NoPixelData
from wscxr.imaging.dicom.charsets import set_encodings
from wscxr.imaging.dicom.metering import MeteredFile, ValueMeter
from wscxr.imaging.limits import ImageLimits

_PREAMBLE = 128
_LONGEST_UID = 64
_FOREIGN_PREAMBLES = (b"MZ", b"\x7fELF", b"\x89PNG", b"\xff\xd8\xff", b"%PDF", b"PK", b"#!", b"<")
_TIFF_DIRECTORY: dict[bytes, tuple[slice, Literal["little", "big"]]] = {
    b"II*\0": (slice(4, 8), "little"),
    b"MM\0*": (slice(4, 8), "big"),
    b"II+\0": (slice(8, 16), "little"),
    b"MM\0+": (slice(8, 16), "big"),
}
"""Where the heads of TIFF and BigTIFF say where their first directory is."""

_RADIOGRAPHS = ("1.2.840.10008.5.1.4.1.1.1.", "1.2.840.10008.5.1.4.1.1.7.")
"""Stems of the SOP classes CR and DX, and Secondary Capture, which all have pixel data."""


def parse(data: bytes, limits: ImageLimits) -> Dataset:
    """Read the data set of a file, with or without preamble and file meta (PS3.10, 7.1).

    Parameters
    ----------
    data
        A file that looks like DICOM.
    limits
        `max_bytes` bounds the inflated size of a deflated data set (PS3.5, A.5) too.

    Returns
    -------
    Dataset
        With ``file_meta.TransferSyntaxUID`` always set, and with pixel data.

    Raises
    ------
    CorruptImage
        It is truncated or damaged, or other software would take it for another kind of file.
    FileTooLarge
        It inflates to more than the limit.
    NoPixelData
        It holds no pixel data.
    """
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM" and _has_foreign_preamble(data):
        raise CorruptImage("the DICOM preamble is the head of a file of another format")
    return guarded(lambda: _parse(data, limits))


def _has_foreign_preamble(data: bytes) -> bool:
    """Whether the file may be read as one of another format too."""
    if (tiff := _TIFF_DIRECTORY.get(data[:4])) is None:
        return data.startswith(_FOREIGN_PREAMBLES)
    # Software that compresses a DICOM and TIFF file in one leaves the head of the TIFF behind: its
    # directory is past the end then, and no reader of TIFF finds anything.
    place, order = tiff
    return int.from_bytes(data[place], order) < len(data)


def guarded(work: Callable[[], Dataset]) -> Dataset:
    """Run pydicom on hostile bytes: whatever it raises becomes `CorruptImage`."""
    try:
        return work()
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises anything on hostile bytes
        # The cause may quote patient data: it must not travel along.
        raise CorruptImage(f"the DICOM file is damaged ({type(error).__name__})") from None


def _parse(data: bytes, limits: ImageLimits) -> Dataset:
    meter = ValueMeter()
    inflated = _inflate(data, limits, meter)
    dataset = (
        read_partial(MeteredFile(data), force=True) if inflated is None else _explicit(inflated)
    )
    set_encodings(dataset)
    meter.convert(dataset)
    _set_syntax(dataset)
    if "PixelData" not in dataset:
        kind = UID(str(dataset.get("SOPClassUID", "")))
        floats = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        # An unknown class is what is left of one where the file was cut.
        if (
            not kind.keyword
            or f"{kind}.".startswith(_RADIOGRAPHS)
            or ("Rows" in dataset and not floats)
        ):
            raise CorruptImage("the DICOM file is truncated: it has no pixel data")
        raise NoPixelData("the DICOM object holds no picture")
    return dataset


def _inflate(data: bytes, limits: ImageLimits, meter: ValueMeter) -> bytes | None:
    """The data set of a deflated file; None where the file is not deflated."""
    file = MeteredFile(data)
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        file.seek(_PREAMBLE + 4)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,
    )
    meter.convert(meta)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(data[file.tell() :], limits.max_bytes)
    if inflater.unconsumed_tail:
        raise FileTooLarge(f"the DICOM file inflates to more than {limits.max_bytes} bytes")
    if not inflater.eof:
        raise CorruptImage("the deflated DICOM file is truncated")
    return content


def _explicit(content: bytes) -> FileDataset:
    dataset = read_dataset(MeteredFile(content), is_implicit_VR=False, is_little_endian=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return FileDataset("", dataset, file_meta=meta, is_implicit_VR=False, is_little_endian=True)


def _set_syntax(dataset: Dataset) -> None:
    """Say how a data set without file meta information was found to be encoded."""
    meta = dataset.file_meta
    if "TransferSyntaxUID" in meta:
        syntax = str(meta.TransferSyntaxUID)
        if len(syntax) > _LONGEST_UID:
            raise CorruptImage("the transfer syntax is no UID")
        meta.TransferSyntaxUID = UID(syntax)
        return
    implicit, little = dataset.original_encoding
    if implicit:
        meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
