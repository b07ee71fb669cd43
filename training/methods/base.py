"""What a method is: patch features of normal and of K abnormal images in, a head out.

A new method is one file with a subclass of `Method`, named in `training.methods`: it is then
trained, calibrated, saved as a bundle, served, evaluated and put into the tables like any other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from wscxr.model.heads import Head
from wscxr.progress import Track, untracked

Checkpoint = Callable[[Head], None]
"""Told of the head as it is now; it must leave it as it was."""

CHECKPOINTS = 10
"""How often a method that trains step by step tells of its head, the last time at its end."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What a method learned.

    Attributes
    ----------
    head
        In evaluation mode.
    metrics
        What the method measured on its own training data, for the bundle's provenance.
    """

    head: Head
    metrics: dict[str, float]


class Method(BaseModel, ABC):
    """Settings of one method, and how it learns.

    A subclass has a field ``name`` of one literal value, by which settings and bundles call it.

    Attributes
    ----------
    uses_anomalies
        Whether it learns from the K anomaly images; if not, K is 0.
    uses_places
        Whether it must know where on the image each feature lies.
    citation
        What it is and where it comes from, one sentence for the model card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uses_anomalies: ClassVar[bool]
    uses_places: ClassVar[bool] = False
    citation: ClassVar[str] = ""

    @abstractmethod
    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Learn a head from cached patch features.

        `fit_maps` calls it with features in the shape that the method takes.

        Parameters
        ----------
        normal
            Normal set M_n, float32 of shape (N, C'), on the CPU; it may lie on disk. Whole maps,
            of shape (images, H', W', C'), for a method that uses places.
        anomaly
            Anomaly set M_a, float32 of shape (A, C'), on the CPU; empty where the method uses
            none. Maps, likewise.
        seed
            The same seed gives the same head, byte for byte, on the same machine.
        device
            Where to compute.
        track
            Told of long work.
        checkpoint
            Called `CHECKPOINTS` times while a head is trained, the last time with the final one;
            only the ``paper`` protocol looks there.

        Raises
        ------
        ConfigError
            Training diverged.
        """


def fit_maps(
    method: Method,
    normal: Tensor,
    anomaly: Tensor,
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Let a method learn from the patch features of whole images.

    Parameters
    ----------
    method
        What learns.
    normal, anomaly
        float32 of shape (images, H', W', C'), on the CPU.
    seed, device, track, checkpoint
        See `Method.fit`, for the errors too.
    """
    if not method.uses_places:
        normal, anomaly = normal.flatten(0, 2), anomaly.flatten(0, 2)
    return method.fit(normal, anomaly, seed=seed, device=device, track=track, checkpoint=checkpoint)
