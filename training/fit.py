"""Patch features -> a trained discriminator: mining, mixing, and Eq. 7."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import TrainConfig
from wscxr.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss
from wscxr.errors import ConfigError
from wscxr.mining import mine, nearest_normal_distance
from wscxr.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked

_BLOCK = 1 << 12
"""Rows read at once where statistics go over a whole set, so that it may lie on disk."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained discriminator.

    Attributes
    ----------
    discriminator
        In evaluation mode.
    loss
        Mean of Eq. 7 over the last tenth of the steps; at least 0.
    """

    discriminator: Discriminator
    loss: float


def fit_discriminator(
    normal: Tensor,
    anomaly: Tensor,
    config: TrainConfig,
    device: torch.device,
    *,
    track: Track = untracked,
) -> Fit:
    """Train the discriminator on cached patch features.

    Parameters
    ----------
    normal
        Normal set M_n, float32 of shape (N, C').
    anomaly
        Anomaly set M_a before mining, float32 of shape (A, C').
    config
        Method settings and seed.
    device
        Where to train.
    track
        Told of each optimiser step.

    Raises
    ------
    ConfigError
        Training diverged.
    """
    if config.mining:
        distance = nearest_normal_distance(anomaly.to(device), normal, track)
        anomaly = anomaly[mine(distance, config.r).cpu()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        discriminator = Discriminator(
            DiscriminatorConfig(in_features=normal.shape[1], hidden=config.hidden)
        )
    discriminator.standardise_by(*_mean_and_std(normal))
    discriminator.to(device).train()
    optimiser = torch.optim.AdamW(
        discriminator.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    generator = torch.Generator().manual_seed(config.seed)
    losses = torch.zeros(config.steps)
    with _one_thread():
        for step in track(range(config.steps), "training the discriminator", config.steps):
            m_n, m_a = _draw_pairs(normal, anomaly, config, generator)
            scores = discriminator(torch.cat([m_n, m_a]).to(device))
            loss = discriminator_loss(scores[: len(m_n)], scores[len(m_n) :])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses[step] = loss.detach()
    if not torch.isfinite(losses).all():
        raise ConfigError("training diverged: the loss is not finite; lower learning_rate")
    return Fit(discriminator.eval(), loss=float(losses[-max(1, config.steps // 10) :].mean()))


def _draw_pairs(
    normal: Tensor, anomaly: Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One batch of M_n, and as many features of M*_a.

    Drawing mixed features as they are needed gives the same distribution as building M*_a of
    |M_n| entries first (Eq. 6), in no memory.
    """
    count = config.batch_size
    m_n = _draw(normal, count, generator)
    m_a = _draw(anomaly, count, generator)
    if config.mixing:
        m_a = mix(m_a, _draw(normal, count, generator), draw_alpha(count, generator))
    return m_n, m_a


def _draw(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return features[torch.randint(len(features), (count,), generator=generator)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep small matrices on one core.

    They gain little from more, and on a machine that does something else as well, threads that
    wait for each other made a step twenty times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _mean_and_std(features: Tensor) -> tuple[Tensor, Tensor]:
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
