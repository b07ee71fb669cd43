"""What the methods share: the result of a fit, and the training loop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.methods.settings import Method
from wscxr.device import one_thread
from wscxr.errors import ConfigError
from wscxr.model.heads import Head
from wscxr.progress import Track, untracked

CHECKPOINTS = 10
"""How often a method that trains step by step shows its head, the last time at its end."""

OnCheckpoint = Callable[[Head], None]
"""See `training.methods.settings.Method.fit`."""

_BLOCK = 1 << 12
"""Rows read at once where statistics go over a whole set, so that it may lie on disk."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    head
        In evaluation mode.
    metrics
        What the method measured on its own training data, for the bundle's provenance.
    """

    head: Head
    metrics: dict[str, float]


def fit_maps(
    method: Method,
    normal: Tensor,
    anomaly: Tensor,
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Let a method learn from the patch features of whole images.

    Parameters
    ----------
    method
        Settings of the method.
    normal, anomaly
        float32 of shape (images, H', W', C'), on the CPU.
    seed, device, track, on_checkpoint
        See `Method.fit`, for the errors too.
    """
    if not method.uses_places:
        normal, anomaly = normal.flatten(0, 2), anomaly.flatten(0, 2)
    return method.fit(
        normal, anomaly, seed=seed, device=device, track=track, on_checkpoint=on_checkpoint
    )


def checkpoint_steps(steps: int) -> frozenset[int]:
    """The steps, counted from 0, after which there is a checkpoint; the last one among them."""
    count = min(CHECKPOINTS, steps)
    return frozenset(steps * (number + 1) // count - 1 for number in range(count))


def draw(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw rows of a set with replacement: float32 of shape (count, C')."""
    return features[torch.randint(len(features), (count,), generator=generator)]


def descend(
    optimiser: torch.optim.Optimizer,
    losses: Iterable[Tensor],
    steps: int,
    *,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    track: Track = untracked,
    at_checkpoint: Callable[[], None] | None = None,
) -> float:
    """Take an optimiser step down each loss.

    Parameters
    ----------
    optimiser
        Of what is trained.
    losses
        `steps` scalars, each computed when it is asked for.
    steps
        How many.
    schedule
        Of the learning rate; stepped with the optimiser.
    at_checkpoint
        Called after each of `checkpoint_steps`.

    Returns
    -------
    float
        Mean loss over the last tenth of the steps.

    Raises
    ------
    ConfigError
        A loss is not finite.
    """
    seen = torch.zeros(steps)
    points = checkpoint_steps(steps)
    with one_thread():
        for step, loss in track(enumerate(losses), "training the discriminator", steps):
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            if schedule is not None:
                schedule.step()
            seen[step] = loss.detach()
            if at_checkpoint is not None and step in points:
                at_checkpoint()
    if not torch.isfinite(seen).all():
        raise ConfigError("training diverged: the loss is not finite; lower learning_rate")
    return float(seen[-max(1, steps // 10) :].mean())


def mean_and_std(features: Tensor) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation, in double precision, block by block."""
    blocks = range(0, len(features), _BLOCK)
    mean = torch.zeros(features.shape[1], dtype=torch.float64)
    for start in blocks:
        mean += features[start : start + _BLOCK].double().sum(dim=0) / len(features)
    variance = torch.zeros_like(mean)
    for start in blocks:
        deviation = features[start : start + _BLOCK].double() - mean
        variance += deviation.square().sum(dim=0) / len(features)
    return mean.float(), variance.sqrt().float()
