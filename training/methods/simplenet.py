"""SimpleNet (Liu et al., CVPR 2023): normal patch features against the same with noise added."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_weights

from training.methods.fitting import Fit, OnCheckpoint, descend, draw, mean_and_std
from training.methods.settings import SimpleNet
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.progress import Track, untracked

MARGIN = 0.5
"""Both thresholds th+ and th- of the truncated L1 loss."""


def fit(
    settings: SimpleNet,
    normal: Tensor,
    anomaly: Tensor,  # noqa: ARG001 - learns from normal images alone
    *,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Train on the normal set by Adam; see `Method.fit`.

    The metric ``loss`` is over the last tenth of the steps.
    """
    config = DiscriminatorConfig(in_features=normal.shape[1], hidden=(settings.hidden,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SimpleNetwork(config.in_features, settings.hidden).to(device).train()
        head = config.build()
    head.standardise_by(*mean_and_std(normal))
    head.to(device).eval()
    groups: list[dict[str, Any]] = [
        {"params": network.adaptor.parameters(), "lr": settings.adaptor_learning_rate},
        {"params": network.discriminator.parameters(), "lr": settings.learning_rate},
    ]
    optimiser = torch.optim.Adam(groups, weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for _ in range(settings.steps):
            features = draw(normal, settings.batch_size, generator)
            noise = settings.noise_std * torch.randn(features.shape, generator=generator)
            adapted = network.adaptor((features.to(device) - head.mean) * head.scale)
            scores = network.discriminator(torch.cat([adapted, adapted + noise.to(device)]))
            real, noisy = scores.squeeze(1).tensor_split(2)
            yield (functional.relu(MARGIN - real) + functional.relu(MARGIN + noisy)).mean()

    def at_checkpoint() -> None:
        network.fold_into(head)
        if on_checkpoint is not None:
            on_checkpoint(head)

    tail = descend(optimiser, losses(), settings.steps, track=track, at_checkpoint=at_checkpoint)
    return Fit(head, metrics={"loss": tail})


class SimpleNetwork(nn.Module):
    """Feature adaptor and discriminator as they are trained (Liu et al., sec. 3.2 and 3.4).

    Parameters
    ----------
    in_features
        Length C' of a patch feature.
    hidden
        Width of the hidden layer.
    """

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.adaptor = nn.Linear(in_features, in_features)
        self.body = nn.Linear(in_features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.tail = nn.Linear(hidden, 1, bias=False)
        for layer in (self.adaptor, self.body, self.tail):
            nn.init.xavier_normal_(layer.weight)
        self.discriminator = nn.Sequential(self.body, self.norm, nn.LeakyReLU(0.2), self.tail)

    def forward(self, features: Tensor) -> Tensor:
        """D: at least `MARGIN` on normal features, at most -`MARGIN` on others.

        Parameters
        ----------
        features
            Standardised, float32 of shape (B, C').

        Returns
        -------
        Tensor
            float32 of shape (B,).
        """
        scores: Tensor = self.discriminator(self.adaptor(features)).squeeze(1)
        return scores

    @torch.no_grad()
    def fold_into(self, head: Discriminator) -> None:
        """Make a head give ``MARGIN - D``: at most 0 on normal features, at least 1 on others.

        Without the noise of training, all before the activation is one linear map.

        Parameters
        ----------
        head
            With one hidden layer of the same width; its standardisation stays as it is.
        """
        norm = self.norm.state_dict()
        weight, bias = fuse_linear_bn_weights(
            self.body.weight @ self.adaptor.weight,
            self.body(self.adaptor.bias),
            norm["running_mean"],
            norm["running_var"],
            self.norm.eps,
            norm["weight"],
            norm["bias"],
        )
        folded = {
            "layers.0.weight": weight,
            "layers.0.bias": bias,
            "layers.2.weight": -self.tail.weight,
            "layers.2.bias": torch.full_like(self.tail.weight[:, 0], MARGIN),
        }
        head.load_state_dict(head.state_dict() | folded)
