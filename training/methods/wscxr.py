"""WSCXR itself: mining, mixing, and a discriminator trained on the mixed features (Eq. 4-7)."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from training.methods.base import Checkpoint, Fit, Method
from training.methods.fitting import descend, draw, mean_and_std
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss
from wscxr.model.mining import mine, nearest_normal_distance
from wscxr.model.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked


class Wscxr(Method):
    """Weakly supervised anomaly detection for chest X-rays (Ni et al., arXiv 2311.09642).

    Attributes
    ----------
    mining
        Keep only the anomaly features far from the normal set (Eq. 4-5).
    r
        Retention rate of mining.
    mixing
        Mix anomaly features with normal ones (Eq. 6).
    hidden
        Widths of the discriminator's hidden layers.
    steps
        Optimiser steps. Fixed in advance: nothing is stopped or chosen by looking at a score.
    batch_size
        Normal features, and as many anomaly features, in one step.
    learning_rate, weight_decay
        Of AdamW; the rate falls to 0 along a cosine.
    """

    uses_anomalies: ClassVar[bool] = True
    citation: ClassVar[str] = (
        "WSCXR, weakly supervised anomaly detection with image-level labels only (Ni et al., "
        "arXiv 2311.09642, 2023)"
    )

    name: Literal["wscxr"] = "wscxr"
    mining: bool = True
    r: float = Field(default=0.2, gt=0, le=1)
    mixing: bool = True
    hidden: tuple[PositiveInt, ...] = (256,)
    steps: PositiveInt = 500
    batch_size: PositiveInt = 512
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)

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
        """Mine, mix and train; the metric ``loss`` is Eq. 7 over the last tenth of the steps."""
        if self.mining:
            distance = nearest_normal_distance(anomaly.to(device), normal, track)
            anomaly = anomaly[mine(distance, self.r).cpu()]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            discriminator = Discriminator(
                DiscriminatorConfig(in_features=normal.shape[1], hidden=self.hidden)
            )
        discriminator.standardise_by(*mean_and_std(normal))
        discriminator.to(device).train()
        optimiser = torch.optim.AdamW(
            discriminator.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        generator = torch.Generator().manual_seed(seed)

        def losses() -> Iterator[Tensor]:
            for _ in range(self.steps):
                pairs = torch.cat(self._draw_pairs(normal, anomaly, generator))
                yield discriminator_loss(*discriminator(pairs.to(device)).chunk(2))

        tail = descend(
            optimiser,
            losses(),
            self.steps,
            schedule=schedule,
            track=track,
            tell=None if checkpoint is None else lambda: checkpoint(discriminator),
        )
        return Fit(discriminator.eval(), metrics={"loss": tail})

    def _draw_pairs(
        self, normal: Tensor, anomaly: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One batch of M_n, and as many features of M*_a.

        Drawing mixed features as they are needed gives the same distribution as building M*_a of
        |M_n| entries first (Eq. 6), in no memory.
        """
        count = self.batch_size
        m_n = draw(normal, count, generator)
        m_a = draw(anomaly, count, generator)
        if self.mixing:
            m_a = mix(m_a, draw(normal, count, generator), draw_alpha(count, generator))
        return m_n, m_a
