"""DICOM files -> Radiograph: parse, check, decode, and the standard's grayscale pipeline.

Needs the extra ``[dicom]``; `wscxr.imaging.reader` imports it when the first DICOM file comes.
"""

from wscxr.imaging.dicom.grayscale import to_grey
from wscxr.imaging.dicom.parsing import parse
from wscxr.imaging.dicom.pixels import decode
from wscxr.imaging.dicom.rules import DicomRules, check_scope
from wscxr.imaging.limits import Admit, ImageLimits
from wscxr.imaging.radiograph import Radiograph
from wscxr.process import quiet_dicom

__all__ = ["read_dicom"]


def read_dicom(data: bytes, limits: ImageLimits, rules: DicomRules, admit: Admit) -> Radiograph:
    """Read one radiograph from a DICOM file.

    Parameters
    ----------
    data
        A file that `looks_like_dicom`, with or without preamble and file meta information.
    limits
        Checked against the header, and against that of a compressed stream, before decoding.
    rules
        Which objects are scored, and what the caller states in place of the header.
    admit
        Called with the bytes of memory that decoding needs, before it starts.

    Returns
    -------
    Radiograph
        uint16, bright where the body is dense, with `header` and `warnings`.

    Raises
    ------
    CorruptImage, FileTooLarge, TooManyPixels, TooManyScans, TooManyParts, ImageTooSmall,
    MultiFrameImage, UnsupportedSyntax, OutOfScope
        See `wscxr.errors`.
    """
    with quiet_dicom:
        dataset = parse(data, limits)
        warnings = check_scope(dataset, rules)
        stored = decode(dataset, limits, admit)
        greys = to_grey(stored, dataset, rules.assume.photometric_interpretation)
        del dataset.PixelData
    return Radiograph(
        greys.picture,
        format="DICOM",
        header=dataset,
        warnings=(*warnings, *greys.warnings),
        unwindowed=greys.unwindowed,
    )
