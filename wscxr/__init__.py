"""Weakly supervised anomaly detection for chest X-rays (WSCXR, Ni et al., arXiv 2311.09642).

This package is the method alone: no HTTP, no training data. See `training` and `service`.
"""

__version__ = "0.2.0"
