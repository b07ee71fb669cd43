"""Which instances are results.

The same test as `wscxr.results.dicom.is_own_result`, which would load torch into the watcher.
"""

from pydicom.dataset import Dataset


def is_own(header: Dataset) -> bool:
    """Whether a header is that of an object this project made."""
    return str(header.get("ManufacturerModelName", "")) == "wscxr"
