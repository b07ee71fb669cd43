"""WSCXR as its authors' public code has it, which is not what their text says."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from training.methods.base import Checkpoint, Fit, Method
from training.methods.fitting import descend, draw
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss
from wscxr.model.mining import mine, nearest_normal_distance
from wscxr.model.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked

MARGIN = 0.5
"""Least D of a normal feature, and of an anomaly feature the same with the other sign."""


class AuthorsRecipe(Method):
    """WSCXR (Ni et al., arXiv 2311.09642) by the recipe of its authors' public code.

    It differs from the paper's text, which is `training.methods.wscxr.Wscxr`:

    - Mining scores an anomaly feature by its mean distance to the 5 nearest of a coreset that
      holds half of the normal set, in place of Eq. 4.
    - The discriminator D is one linear layer without bias, over features as they are, not
      standardised. Normal is the positive side, and the margin is 0.5 on both:
      ``mean(max(0, 0.5 - D(m_n)) + max(0, 0.5 + D(m_a)))``.
    - Adam at a constant rate, for 100 passes over the normal set.

    The head gives ``0.5 - D``: about 0 or less on normal features, 1 and more on anomalous ones.
    For that score the loss is Eq. 7, word for word.

    **What is ours.** The batch size is not known; it decides how many steps 100 passes are. The
    coreset is a random half drawn with the seed: greedy selection of a half takes half a minute of
    one core for 50,000 features of 256 channels, and grows with the square of their number. Mixed
    features are drawn as they are needed. The authors' choice of the epoch by test score is no
    part of a method; see `training.paper`.

    Attributes
    ----------
    r
        Retention rate of mining.
    neighbours
        How many nearest features of the coreset mining looks at.
    coreset_ratio
        Fraction of the normal set's features that is in the coreset.
    epochs
        Passes over the normal set. Fixed in advance: nothing is stopped or chosen by looking at a
        score.
    batch_size
        Normal features, and as many anomaly features, in one step. Our choice.
    learning_rate, weight_decay
        Of Adam.
    """

    uses_anomalies: ClassVar[bool] = True
    citation: ClassVar[str] = (
        "WSCXR, weakly supervised anomaly detection with image-level labels only (Ni et al., "
        "arXiv 2311.09642, 2023), by the recipe of its authors' public code"
    )

    name: Literal["wscxr-authors"] = "wscxr-authors"
    r: float = Field(default=0.2, gt=0, le=1)
    neighbours: PositiveInt = 5
    coreset_ratio: float = Field(default=0.5, gt=0, le=1)
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 4096
    learning_rate: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)

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
        """Mine, mix and train; the metric ``loss`` is over the last tenth of the steps."""
        generator = torch.Generator().manual_seed(seed)
        mined = self._mine(normal, anomaly, generator, device, track)
        head = _linear_head(normal.shape[1], seed).to(device).train()
        optimiser = torch.optim.Adam(
            [value for value in head.parameters() if value.requires_grad],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        steps = self.epochs * -(-len(normal) // self.batch_size)
        losses = (
            discriminator_loss(*head(torch.cat(pairs).to(device)).chunk(2))
            for pairs in self._batches(normal, mined, generator)
        )
        tell = None if checkpoint is None else lambda: checkpoint(head)
        tail = descend(optimiser, losses, steps, track=track, tell=tell)
        return Fit(head.eval(), metrics={"loss": tail})

    def _mine(
        self,
        normal: Tensor,
        anomaly: Tensor,
        generator: torch.Generator,
        device: torch.device,
        track: Track,
    ) -> Tensor:
        """The anomaly features that lie far from a coreset of the normal set."""
        count = max(1, round(self.coreset_ratio * len(normal)))
        # In order, as a set on disk is read fastest.
        chosen = torch.randperm(len(normal), generator=generator)[:count].sort()[0]
        distance = nearest_normal_distance(
            anomaly.to(device), normal[chosen], track, neighbours=self.neighbours
        )
        return anomaly[mine(distance, self.r).cpu()]

    def _batches(
        self, normal: Tensor, mined: Tensor, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Each normal feature once in an epoch, beside as many mixed features (Eq. 6)."""
        for _ in range(self.epochs):
            order = torch.randperm(len(normal), generator=generator)
            for rows in torch.split(order, self.batch_size):
                m_a, m_n = (draw(features, len(rows), generator) for features in (mined, normal))
                yield normal[rows], mix(m_a, m_n, draw_alpha(len(rows), generator))


def _linear_head(channels: int, seed: int) -> Discriminator:
    """``MARGIN - D`` of an untrained D; of its parameters the weight alone is to be learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Discriminator(DiscriminatorConfig(in_features=channels, hidden=()))
    bias = head.get_parameter("layers.0.bias")
    torch.nn.init.constant_(bias, MARGIN)
    bias.requires_grad = False
    return head
