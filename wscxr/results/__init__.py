"""What becomes of an anomaly map: PNG files and DICOM objects."""
