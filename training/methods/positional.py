"""The default method: WSCXR on deviations from what is normal at each place.

Patch features are centred by the mean of the normal set at their place and whitened by its
covariance. Then anomaly features are mined, by their Mahalanobis distance (Eq. 4-5), and mixed with
normal ones (Eq. 6), and a linear discriminator is trained (Eq. 7). How unusual the image is as a
whole adds to its score, the more so the fewer anomaly images there are. See
`wscxr.model.heads.positional`.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from training.methods.fitting import Fit, OnCheckpoint, descend
from training.methods.settings import PositionalWscxr
from wscxr.choices import ScoreRule
from wscxr.model.detector import image_score
from wscxr.model.heads.discriminator import discriminator_loss
from wscxr.model.heads.positional import PositionalConfig, PositionalDiscriminator, log_distance
from wscxr.model.mining import mine
from wscxr.model.mixing import draw_alpha, mix
from wscxr.progress import Track, untracked

_BLOCK = 32
"""Images whose features are read at once, so that a set may lie on disk."""

_PRIOR = 2.0
"""Weight of the mean unusualness against D, both in units of their spread over normals, times K."""

_FLOOR = 1e-3
"""Added to every standard deviation, times the largest: directions of rounding stay small."""


def fit(
    settings: PositionalWscxr,
    normal: Tensor,
    anomaly: Tensor,
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Whiten, mine, mix and train on maps; see `Method.fit`.

    AdamW's rate falls to 0 along a cosine. The metric ``loss`` is Eq. 7 over the last tenth of the
    steps.
    """
    _, height, width, channels = normal.shape
    config = PositionalConfig(
        height=height, width=width, in_features=channels, rank=min(settings.rank, channels)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = PositionalDiscriminator(config)
    _describe_normal(settings, head, normal)
    head.to(device)
    x_n = _whitened(head, normal, device)
    x_a = _whitened(head, anomaly, device)
    if settings.mining:
        x_a = x_a[mine(torch.linalg.vector_norm(x_a, dim=1), settings.r)]
    optimiser = torch.optim.AdamW(
        head.linear.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    generator = torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for _ in range(settings.steps):
            pairs = torch.cat(_draw_pairs(settings, x_n, x_a, generator))
            yield discriminator_loss(*head.linear(pairs).squeeze(1).chunk(2))

    tail = descend(
        optimiser,
        losses(),
        settings.steps,
        schedule=schedule,
        track=track,
        at_checkpoint=None
        if on_checkpoint is None
        else lambda: on_checkpoint(_finished(settings, head, normal, anomaly)),
    )
    return Fit(_finished(settings, head, normal, anomaly), metrics={"loss": tail})


def _describe_normal(
    settings: PositionalWscxr, head: PositionalDiscriminator, normal: Tensor
) -> None:
    """Set the mean at each place, the whitening, and what unusualness is usual."""
    mean = torch.zeros(normal.shape[1:], dtype=torch.float64)
    for block in torch.split(normal, _BLOCK):
        mean += block.double().sum(dim=0) / len(normal)
    if not settings.by_place:
        mean = mean.mean(dim=(0, 1), keepdim=True).expand_as(mean)
    covariance = torch.zeros(normal.shape[3], normal.shape[3], dtype=torch.float64)
    for block in torch.split(normal, _BLOCK):
        deviation = (block.double() - mean).flatten(0, 2)
        covariance += deviation.T @ deviation / normal[..., 0].numel()
    values, vectors = torch.linalg.eigh(covariance)
    deviations = values.clamp(min=0).sqrt().flip(0)[: head.config.rank]
    directions = vectors.flip(1)[:, : head.config.rank]
    head.mean.copy_(mean)
    head.whitening.copy_(directions / (deviations + _FLOOR * deviations[0]).clamp(min=1e-12))
    distances = torch.cat(
        [log_distance(head.whiten(block)) for block in torch.split(normal, _BLOCK)]
    )
    head.usual.copy_(distances.mean(dim=0))
    head.spread.copy_(distances.std(dim=0, correction=0).clamp(min=1e-6))


def _draw_pairs(
    settings: PositionalWscxr, normal: Tensor, anomaly: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    m_n, other, m_a = (
        features[
            torch.randint(len(features), (settings.batch_size,), generator=generator).to(
                features.device
            )
        ]
        for features in (normal, normal, anomaly)
    )
    if settings.mixing:
        alpha = draw_alpha(settings.batch_size, generator).to(other.device)
        m_a = mix(m_a, other, alpha)
    return m_n, m_a


@torch.no_grad()
def _finished(
    settings: PositionalWscxr, trained: PositionalDiscriminator, normal: Tensor, anomaly: Tensor
) -> PositionalDiscriminator:
    """A copy with its prior, on the scale that all bundles share.

    The fewer anomaly images there are, the more weighs what is merely unusual. Then 0 becomes the
    score of a typical normal image of the training, 1 that of a typical anomaly image; neither the
    order of scores nor any decision changes by that.
    """
    head = copy.deepcopy(trained).eval()
    learned, unusual = (
        _by_image(kind, head, normal).std(correction=0).clamp(min=1e-6)
        for kind in (_score, _unusual)
    )
    counted = settings.counted_images or len(anomaly)
    head.prior.copy_(_PRIOR / counted * learned / unusual)
    low, high = (_by_image(_score, head, maps).mean() for maps in (normal, anomaly))
    if high > low:
        head.linear.weight.div_(high - low)
        head.linear.bias.sub_(low).div_(high - low)
        head.prior.div_(high - low)
    return head


def _score(head: PositionalDiscriminator, maps: Tensor) -> Tensor:
    return image_score(head(maps), ScoreRule.TOP_TENTH)


def _unusual(head: PositionalDiscriminator, maps: Tensor) -> Tensor:
    return head.unusualness(maps).mean(dim=(1, 2))


def _by_image(
    measure: Callable[[PositionalDiscriminator, Tensor], Tensor],
    head: PositionalDiscriminator,
    maps: Tensor,
) -> Tensor:
    blocks = torch.split(maps, _BLOCK)
    return torch.cat([measure(head, block.to(head.mean.device)) for block in blocks])


@torch.no_grad()
def _whitened(head: PositionalDiscriminator, maps: Tensor, device: torch.device) -> Tensor:
    """Whitened deviations of all patches: float32 of shape (N * H' * W', R), on the device."""
    return torch.cat(
        [head.whiten(block.to(device)).flatten(0, 2) for block in torch.split(maps, _BLOCK)]
    )
