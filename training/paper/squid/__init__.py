"""SQUID: in-painting of deep features from space-aware memory queues."""

from training.paper.squid.learning import Squid

__all__ = ["Squid"]
