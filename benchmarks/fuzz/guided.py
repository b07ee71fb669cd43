"""Files found by coverage against the reader, with atheris (``pip install atheris``).

``python -m benchmarks.fuzz.guided CORPUS -runs=20000``: CORPUS is a folder with copies of real
files (PNG, JPEG, DICOM), to which what is found is added; options are those of libFuzzer. Whatever
is neither a radiograph nor a coded error, hangs for 5 s or needs 1 GB stops it, and leaves its
input in a file.
"""

import sys

import atheris

_TABLES = ["pydicom._dicom_dict", "pydicom._private_dict", "pydicom._uid_dict"]

with atheris.instrument_imports(include=["pydicom", "wscxr.imaging"], exclude=_TABLES):
    import wscxr.imaging.dicom.reading  # noqa: F401 - the reader would load it later, unseen
    from benchmarks.fuzz.doors import read

if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-timeout=5", "-rss_limit_mb=1000"], read)
    atheris.Fuzz()
