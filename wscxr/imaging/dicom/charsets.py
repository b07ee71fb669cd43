"""How the text of a header is encoded, where pydicom does not know it."""

import re

from pydicom import Dataset
from pydicom.charset import convert_encodings

_REGISTERED = re.compile(r"ISO[ _-]?(2022)?[ _-]?IR[ _-]?(\d+)", re.IGNORECASE)

_LATIN_9 = {"ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
"""Terms of PS3.3, C.12.1.1.2, that pydicom lacks, and Python's names of them."""


def set_encodings(dataset: Dataset) -> None:
    """Have pydicom decode the text of a data set by what its Specific Character Set must mean.

    Call it before any text is converted. Terms that are spelt wrong (``ISO_IR_192``, ``ISO_IR100``)
    are put right; pydicom takes Python's own names (``UTF-8``), and Latin-1 for what nobody knows.
    """
    said = dataset.get("SpecificCharacterSet")
    if not said:
        return
    terms = [_term(str(term)) for term in ([said] if isinstance(said, str) else said)]
    known = convert_encodings([_LATIN_9.get(term, term) for term in terms])
    implicit, little = dataset.original_encoding
    dataset.set_original_encoding(implicit, little, known)


def _term(said: str) -> str:
    """The defined term that a value means; itself where it means none."""
    found = _REGISTERED.fullmatch(said.strip())
    if found is None:
        return said.strip()
    return f"ISO 2022 IR {found[2]}" if found[1] else f"ISO_IR {found[2]}"
