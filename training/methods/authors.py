"""WSCXR (Ni et al., arXiv 2311.09642) by the recipe of its authors' public code.

The recipe differs from the paper's text, which is `training.methods.wscxr`:

- Mining scores an anomaly feature by its mean distance to the 5 nearest of a coreset that holds
  half of the normal set, in place of Eq. 4.
- The discriminator D is one linear layer without bias, over features as they are, not standardised.
  Normal is the positive side, and the margin is 0.5 on both:
  ``mean(max(0, 0.5 - D(m_n)) + max(0, 0.5 + D(m_a)))``.
- Adam at a constant rate, for 100 passes over the normal set.

The head gives ``0.5 - D``: about 0 or less on normal features, 1 and more on anomalous ones. For
that score the loss is Eq. 7, word for word.

Our own choices: the batch size, which is not known and decides how many steps 100 passes are; the
coreset, a random half drawn with the seed. Greedy selection of a half takes half a minute of one
core for 50,000 features of 256 channels, and grows with the square of their number. Mixed features
are drawn when they are needed. The authors also keep the epoch that scores best on the test set:
that is a protocol of `training.paper`, not part of a method.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.methods.fitting import Fit, OnCheckpoint, descend, draw
from training.methods.settings import AuthorsRecipe
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss
from wscxr.model.mining import mine, nearest_normal_distance
from wscxr.model.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked

MARGIN = 0.5
"""Least D of a normal feature, and of an anomaly feature the same with the other sign."""


def fit(
    settings: AuthorsRecipe,
    normal: Tensor,
    anomaly: Tensor,
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Mine, mix and train; see `Method.fit`.

    The metric ``loss`` is over the last tenth of the steps.
    """
    generator = torch.Generator().manual_seed(seed)
    mined = _mine(settings, normal, anomaly, generator, device, track)
    head = _linear_head(normal.shape[1], seed).to(device).train()
    optimiser = torch.optim.Adam(
        [value for value in head.parameters() if value.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    steps = settings.epochs * -(-len(normal) // settings.batch_size)
    losses = (
        discriminator_loss(*head(torch.cat(pairs).to(device)).chunk(2))
        for pairs in _batches(settings, normal, mined, generator)
    )
    at_checkpoint = None if on_checkpoint is None else lambda: on_checkpoint(head)
    tail = descend(optimiser, losses, steps, track=track, at_checkpoint=at_checkpoint)
    return Fit(head.eval(), metrics={"loss": tail})


def _mine(
    settings: AuthorsRecipe,
    normal: Tensor,
    anomaly: Tensor,
    generator: torch.Generator,
    device: torch.device,
    track: Track,
) -> Tensor:
    """The anomaly features that lie far from a coreset of the normal set."""
    count = max(1, round(settings.coreset_ratio * len(normal)))
    # In order, as a set on disk is read fastest.
    chosen = torch.randperm(len(normal), generator=generator)[:count].sort()[0]
    distance = nearest_normal_distance(
        anomaly.to(device), normal[chosen], track, neighbours=settings.neighbours
    )
    return anomaly[mine(distance, settings.r).cpu()]


def _batches(
    settings: AuthorsRecipe, normal: Tensor, mined: Tensor, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each normal feature once in an epoch, beside as many mixed features (Eq. 6)."""
    for _ in range(settings.epochs):
        order = torch.randperm(len(normal), generator=generator)
        for rows in torch.split(order, settings.batch_size):
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
