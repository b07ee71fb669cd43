"""Bounds on what parsing a header may cost.

pydicom converts each value of an element by itself, at some microseconds a value: a header of
megabytes that is one list of empty values would take minutes.
"""

import io

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from wscxr.errors import CorruptImage

_MAX_READS = 150_000
"""Reads of the parser, two or three an element: a second's work, and dozens of real headers'."""

_MAX_VALUES = 200_000
"""Values of text; four numbers, or an element of a sequence, count as one. A second's work, and
twelve of the largest tables there can be (PS3.3, C.11.1.1)."""

_CHARACTER_SET = frozenset({b"\x08\x00\x05\x00", b"\x00\x08\x00\x05"})
"""Tag of Specific Character Set (0008,0005), whose values are looked up as soon as it is read."""

_ELEMENT = 8
"""Bytes that the parser reads first of every element: tag, and VR and length, or length."""

_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})


class MeteredFile(io.BytesIO):
    """A file in memory with a bound on how often a parser may read from it."""

    _reads = 0
    _values = 0
    _tag = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.BytesIO.read`.

        Raises
        ------
        CorruptImage
            There were too many reads, or too many values of Specific Character Set.
        """
        self._reads += 1
        if self._reads > _MAX_READS:
            raise CorruptImage("the DICOM header has too many elements")
        content = super().read(size)
        if size == _ELEMENT:
            self._tag = content[:4]
        elif self._tag in _CHARACTER_SET:
            self._values += content.count(b"\\")
            if self._values > _MAX_VALUES:
                raise CorruptImage("the DICOM header has too many values")
        return content


class ValueMeter:
    """Counts values before they are converted, over all data sets of a file."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def convert(self, dataset: Dataset) -> None:
        """Convert every element of a data set, and of those in its sequences, within the bound.

        Damage is found here, not later when an element is needed.

        Raises
        ------
        CorruptImage
            There are too many values.
        """
        for tag in list(dataset.keys()):
            self._count(tag, dataset.get_item(tag))
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    self.convert(item)

    def _count(self, tag: BaseTag, element: object) -> None:
        if not isinstance(element, RawDataElement) or not element.value:
            return  # was converted when it was read, as items of a sequence are
        vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
        if vr.startswith("O"):
            return  # bytes as they are
        if vr[:2] in _NUMBERS:
            self._left -= len(element.value) // 8
        else:
            self._left -= element.value.count(b"\\")
        if vr == "SQ":
            self._left -= len(element.value) // _ELEMENT
        if self._left < 0:
            raise CorruptImage("the DICOM header has too many values")
