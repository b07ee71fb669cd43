"""Weakly supervised anomaly detection for chest X-rays (WSCXR, Ni et al., arXiv 2311.09642).

This package is the method alone: no HTTP, no training data. See `training` and `service`.
"""

import os

__version__ = "0.1.0"

# Before PyTorch is imported: its threads must wait for each other asleep. When they spin, which is
# their default, and something else wants a core, a batch was seen to take ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
