"""Weakly supervised anomaly detection for chest X-rays (WSCXR, Ni et al., arXiv 2311.09642).

This package is the method alone: no HTTP, no training data. See `training` and `service`.
"""

import os

__version__ = "0.2.0"

# Before PyTorch is imported: how long its OpenMP threads spin while they wait for each other. By
# default they spin for milliseconds, and where something else wants the core a batch took three to
# five times as long; asleep at once, a lone image took twice as long. This is in between.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
