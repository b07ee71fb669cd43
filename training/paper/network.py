"""Compared methods that train a network of their own: images in, a scorer of images out.

They are rows of the tables only: trained and evaluated, never saved or served.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from wscxr.progress import Track, untracked

ImageScorer = Callable[[Tensor], Tensor]
"""float32 images of shape (B, 1, size, size) in [0, 1], on the CPU -> scores of shape (B,), on the
CPU; larger is more anomalous."""

OnScorer = Callable[[ImageScorer], None]
"""Called with the scorer as it is then; must leave the network as it was."""


class Budget(StrEnum):
    """How much work a network may do; both are fixed numbers of steps, never a stopwatch."""

    CPU = "cpu"
    """One training within ten minutes on two cores: smaller images, fewer steps."""

    FULL = "full"
    """The setting of the method's paper, for a GPU."""


class PictureMethod(BaseModel, ABC):
    """Settings of one compared method, and how it learns.

    A subclass has a field ``name`` of one literal value, and ``size``, the side of its input.

    Attributes
    ----------
    uses_anomalies
        Whether it learns from the K anomaly images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uses_anomalies: ClassVar[bool]

    size: int

    @classmethod
    @abstractmethod
    def within(cls, budget: Budget) -> "PictureMethod":
        """The settings for a budget."""

    @abstractmethod
    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        on_checkpoint: OnScorer | None = None,
    ) -> ImageScorer:
        """Train the network.

        Parameters
        ----------
        normal
            Normal images, float32 of shape (N, 1, size, size) in [0, 1], on the CPU.
        anomaly
            The K anomaly images, of the same form; empty where the method uses none.
        seed
            The same seed gives the same scores on the same machine.
        on_checkpoint
            Called `training.methods.fitting.CHECKPOINTS` times, the last time at the end;
            only the ``paper`` protocol looks there.

        Raises
        ------
        ConfigError
            Training diverged.
        """
