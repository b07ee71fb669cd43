"""The source's header as results may quote it: its text in Unicode, without invalid values."""

from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM
from pydicom.valuerep import PersonName, validate_value

UNICODE = "ISO_IR 192"
"""Specific Character Set (0008,0005) of every result: UTF-8 (PS3.3, C.12.1.1.2)."""

_GB_2312 = "\x1b$)A"
"""Escape sequence of ISO 2022 IR 58, which pydicom leaves in the text that it decodes."""

_VALIDATED = frozenset({"AS", "CS", "DA", "DT", "TM"})
"""VRs whose invalid values mean nothing to a reader; text and identifiers are kept as they are."""

_SEXES = frozenset({"M", "F", "O"})
"""Enumerated values of Patient's Sex (0010,0040; PS3.3, C.7.1.1)."""


def quotable(header: Dataset) -> Dataset:
    """Copy a header for results to take their attributes from; the original stays as it is.

    All text is Unicode, names with all their component groups; whatever character set the source
    had, rightly or wrongly spelt, pydicom has decoded by now. Dates, times, ages and code strings
    that their VR does not allow (PS3.5, 6.2) are left out, for they would make the result invalid.

    Parameters
    ----------
    header
        Of the radiograph, without pixel data.
    """
    copied = Dataset()
    for element in header:
        if (kept := _quotable(element)) is not None:
            copied.add(kept)
    copied.SpecificCharacterSet = UNICODE
    if copied.get("PatientSex") not in _SEXES:
        copied.pop("PatientSex", None)
    return copied


def _quotable(element: DataElement) -> DataElement | None:
    """A copy of an element, of its own sequence items too; None where its value is invalid."""
    value = element.value
    if element.VR == "SQ":
        items = [quotable(item) for item in value]
        for item in items:
            del item.SpecificCharacterSet
        return DataElement(element.tag, "SQ", items)
    if isinstance(value, str) and _GB_2312 in value:
        return DataElement(element.tag, element.VR, value.replace(_GB_2312, ""))
    if element.VR == "PN":
        # Without the bytes of the old character set, which would be written again.
        names = [value] if element.VM < 2 else value
        if element.keyword and dictionary_VM(element.tag) == "1":
            names = names[:1]  # a name with a backslash in it is two, which no result may hold
        plain = [PersonName(str(name).replace(_GB_2312, "")) for name in names]
        return DataElement(element.tag, "PN", plain if len(plain) > 1 else plain[0])
    if element.VR in _VALIDATED:
        try:
            for part in [value] if isinstance(value, str) else value or []:
                validate_value(element.VR, part, RAISE)
        except ValueError:
            return None
    return element
