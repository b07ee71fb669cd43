"""DICOM files found by coverage against the reader, with atheris (``pip install atheris``).

``python -m benchmarks.fuzz_dicom_guided CORPUS -runs=20000``: CORPUS is a folder with copies of
real files, to which what is found is added; options are those of libFuzzer. Whatever is neither a
radiograph nor a coded error, hangs for 5 s or needs 2 GB stops it, and leaves its input in a file.
"""

import contextlib
import sys

import atheris

_TABLES = ["pydicom._dicom_dict", "pydicom._private_dict", "pydicom._uid_dict"]

with atheris.instrument_imports(include=["pydicom", "wscxr.imaging"], exclude=_TABLES):
    import wscxr.imaging.dicom  # noqa: F401 - the reader would load it later, unseen
    from benchmarks.fuzz_dicom import RULES
    from wscxr.errors import ImageError
    from wscxr.imaging import read_radiograph


def read(data: bytes) -> None:
    """Read one input; a coded error is a result, too."""
    with contextlib.suppress(ImageError):
        read_radiograph(data, rules=RULES)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-timeout=5", "-rss_limit_mb=2048"], read)
    atheris.Fuzz()
