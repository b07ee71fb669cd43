"""Drift: whether what is scored these weeks still looks like what the model was calibrated on."""

WEEKS = 12
"""Weeks that are reported by default."""

MOST_WEEKS = 104
"""Most weeks of one report."""
