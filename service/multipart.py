"""DICOM files in one HTTP message, as DICOMweb sends them (PS3.18, section 8.6.1.2)."""

from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_BOUNDARY = "wscxr-5f0c9f3e5d5a4a8fb9a0d6c1f3b27e84"
"""Fixed and long: no DICOM file holds it by chance."""

RELATED = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
"""Content type of what `related` makes."""


def related(files: Sequence[bytes]) -> bytes:
    """Make the body of a ``multipart/related`` message (RFC 2387), one part for each DICOM file."""
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    parts = [head + file + b"\r\n" for file in files]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])


def dicom_files(content_type: str, body: bytes) -> list[bytes]:
    """Take the DICOM files out of a message: a single file, or ``multipart/related``.

    Parameters
    ----------
    content_type
        Value of the message's Content-Type header.
    body
        Its body.

    Raises
    ------
    ValueError
        The message is neither, or not complete.
    """
    media_type, options = parse_options_header(content_type)
    if media_type == b"application/dicom":
        return [body]
    if media_type != b"multipart/related" or b"boundary" not in options:
        raise ValueError("neither application/dicom nor multipart/related")
    parts: list[bytearray] = []
    ended: list[bool] = []
    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": lambda: parts.append(bytearray()),
            "on_part_data": lambda data, start, stop: parts[-1].extend(data[start:stop]),
            "on_end": lambda: ended.append(True),
        },
    )
    try:
        parser.write(body)
    except FormParserError:
        raise ValueError("damaged multipart message") from None
    if not ended:
        raise ValueError("the multipart message has no end")
    return [bytes(part) for part in parts]
