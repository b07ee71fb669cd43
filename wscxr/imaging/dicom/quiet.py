"""Keep pydicom's warnings, which quote header values, out of every log."""

import logging
import warnings

from pydicom import config

_MODULES = r"(pydicom|highdicom|openjpeg|libjpeg|wscxr\.imaging\.dicom|wscxr\.dicom_results)\b"


def silence_pydicom() -> None:
    """Turn off pydicom's warnings and log records in this process.

    Both quote the values they complain of, and those may be patient data. What matters of them is
    told by the errors and warnings of this package.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    config.settings.reading_validation_mode = config.IGNORE
    # A warning is put down to the module that called pydicom.
    warnings.filterwarnings("ignore", module=_MODULES)
