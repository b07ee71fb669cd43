"""The detector and its parts: backbone, patch features, heads, OOD score, calibration."""
