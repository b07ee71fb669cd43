"""Two bundles on the same images: what changes from one to the other, and whether it is better."""

from training.evaluation.comparison.compare import compare
from training.evaluation.comparison.page import write_comparison

__all__ = ["compare", "write_comparison"]
