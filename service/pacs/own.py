"""Which instances are results."""

from pydicom.dataset import Dataset


def is_own(header: Dataset) -> bool:
    """Whether a header is that of an object this project made."""
    return str(header.get("ManufacturerModelName", "")) == "wscxr"
