"""The DICOM files in an answer."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header


def dicom_files(content_type: str, body: bytes) -> list[bytes]:
    """Take the DICOM files out of an answer: one as it is, or ``multipart/related`` (RFC 2387).

    Parameters
    ----------
    content_type
        Content type of the answer.
    body
        Its body.

    Raises
    ------
    ValueError
        It is neither, or not complete.
    """
    media_type, options = parse_options_header(content_type)
    if media_type == b"application/dicom":
        return [body]
    if media_type != b"multipart/related" or b"boundary" not in options:
        raise ValueError("neither application/dicom nor multipart/related")
    parts: list[bytearray] = []
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True

    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": lambda: parts.append(bytearray()),
            "on_part_data": lambda data, start, stop: parts[-1].extend(data[start:stop]),
            "on_end": end,
        },
    )
    try:
        parser.write(body)
    except FormParserError:
        raise ValueError("damaged multipart message") from None
    if not ended:
        raise ValueError("the multipart message has no end")
    return [bytes(part) for part in parts]
