"""Which files of a folder are radiographs."""

from pathlib import Path

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".dicom"})
_DICOM_MARK = slice(128, 132)


def find_images(folder: Path) -> list[Path]:
    """Find all PNG, JPEG and DICOM files below a folder, in the order of their paths.

    PNG and JPEG files are known by their names. DICOM files often have none that tells, so files
    without a suffix are looked into; DICOMDIR (PS3.10, 8.6) holds no picture and is left out.
    """
    return sorted(path for path in folder.rglob("*") if path.is_file() and _is_image(path))


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    if path.suffix or path.name == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(_DICOM_MARK.stop)[_DICOM_MARK] == b"DICM"
