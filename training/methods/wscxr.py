"""WSCXR (Ni et al., arXiv 2311.09642): mining, mixing, and a discriminator (Eq. 4-7)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.methods.fitting import Fit, OnCheckpoint, descend, draw, mean_and_std
from training.methods.settings import Wscxr
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss
from wscxr.model.mining import mine, nearest_normal_distance
from wscxr.model.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked


def fit(
    settings: Wscxr,
    normal: Tensor,
    anomaly: Tensor,
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Mine, mix and train by AdamW, whose rate falls to 0 along a cosine; see `Method.fit`.

    The metric ``loss`` is Eq. 7 over the last tenth of the steps.
    """
    if settings.mining:
        distance = nearest_normal_distance(anomaly.to(device), normal, track)
        anomaly = anomaly[mine(distance, settings.r).cpu()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Discriminator(
            DiscriminatorConfig(in_features=normal.shape[1], hidden=settings.hidden)
        )
    discriminator.standardise_by(*mean_and_std(normal))
    discriminator.to(device).train()
    optimiser = torch.optim.AdamW(
        discriminator.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    generator = torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for _ in range(settings.steps):
            pairs = torch.cat(_draw_pairs(settings, normal, anomaly, generator))
            yield discriminator_loss(*discriminator(pairs.to(device)).chunk(2))

    tail = descend(
        optimiser,
        losses(),
        settings.steps,
        schedule=schedule,
        track=track,
        at_checkpoint=None if on_checkpoint is None else lambda: on_checkpoint(discriminator),
    )
    return Fit(discriminator.eval(), metrics={"loss": tail})


def _draw_pairs(
    settings: Wscxr, normal: Tensor, anomaly: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw one batch of M_n, and as many features of M*_a.

    Drawing mixed features as they are needed gives the same distribution as building M*_a of
    |M_n| entries first (Eq. 6), in no memory.
    """
    count = settings.batch_size
    m_n = draw(normal, count, generator)
    m_a = draw(anomaly, count, generator)
    if settings.mixing:
        m_a = mix(m_a, draw(normal, count, generator), draw_alpha(count, generator))
    return m_n, m_a
