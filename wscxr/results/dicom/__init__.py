"""A scored radiograph -> DICOM objects of the same study, through highdicom: the extra [dicom]."""
