"""Several DICOM files in one answer, as DICOMweb sends them (PS3.18, 8.6.1.2)."""

from collections.abc import Sequence

_BOUNDARY = "wscxr-5f0c9f3e5d5a4a8fb9a0d6c1f3b27e84"
"""Fixed and long: no DICOM file holds it by chance."""

RELATED = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
"""Content type of what `related` makes."""


def related(files: Sequence[bytes]) -> bytes:
    """Body of a ``multipart/related`` message (RFC 2387) with one part for each DICOM file."""
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    parts = [head + file + b"\r\n" for file in files]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
