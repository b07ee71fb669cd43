"""The bridge, against a real Orthanc."""
