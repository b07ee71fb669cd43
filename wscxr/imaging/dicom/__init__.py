"""DICOM files: which are scored, what their headers say, and their pixels; needs `[dicom]`."""
