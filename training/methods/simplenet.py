"""SimpleNet: a discriminator between normal patch features and the same with noise added."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_weights

from training.methods.base import Checkpoint, Fit, Method
from training.methods.fitting import descend, draw, mean_and_std
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.progress import Track, untracked

MARGIN = 0.5
"""Both thresholds th+ and th- of the truncated L1 loss."""


class SimpleNet(Method):
    """SimpleNet (Liu et al., CVPR 2023): normal features against normal ones plus noise.

    Attributes
    ----------
    noise_std
        Standard deviation of the noise, where channels have been standardised by the normal
        set's statistics, so that it means the same for every backbone. The paper's 0.015 is for
        raw features: about 0.12 of a channel's deviation in layers 2 and 3 of an ImageNet
        ResNet18. That wants the paper's hundreds of epochs; in these steps it is hardly learned,
        and twice as much noise told phantoms apart better.
    hidden
        Width of the discriminator's hidden layer.
    steps
        Optimiser steps. Fixed in advance: nothing is stopped or chosen by looking at a score.
    batch_size
        Normal features, and as many with noise, in one step.
    adaptor_learning_rate, learning_rate
        Of Adam, for the feature adaptor and for the discriminator.
    weight_decay
        Of both.
    """

    uses_anomalies: ClassVar[bool] = False
    citation: ClassVar[str] = (
        "SimpleNet (Liu et al., SimpleNet: A Simple Network for Image Anomaly Detection and "
        "Localization, CVPR 2023)"
    )

    name: Literal["simplenet"] = "simplenet"
    noise_std: float = Field(default=0.25, gt=0)
    hidden: PositiveInt = 256
    steps: PositiveInt = 1000
    batch_size: PositiveInt = 256
    adaptor_learning_rate: float = Field(default=1e-4, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)

    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,  # noqa: ARG002
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Train on the normal set; the metric ``loss`` is over the last tenth of the steps."""
        config = DiscriminatorConfig(in_features=normal.shape[1], hidden=(self.hidden,))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SimpleNetwork(config.in_features, self.hidden).to(device).train()
            head = config.build()
        head.standardise_by(*mean_and_std(normal))
        head.to(device).eval()
        groups: list[dict[str, Any]] = [
            {"params": network.adaptor.parameters(), "lr": self.adaptor_learning_rate},
            {"params": network.discriminator.parameters(), "lr": self.learning_rate},
        ]
        optimiser = torch.optim.Adam(groups, weight_decay=self.weight_decay)
        generator = torch.Generator().manual_seed(seed)

        def losses() -> Iterator[Tensor]:
            for _ in range(self.steps):
                features = draw(normal, self.batch_size, generator)
                noise = self.noise_std * torch.randn(features.shape, generator=generator)
                adapted = network.adaptor((features.to(device) - head.mean) * head.scale)
                scores = network.discriminator(torch.cat([adapted, adapted + noise.to(device)]))
                real, noisy = scores.squeeze(1).tensor_split(2)
                yield (functional.relu(MARGIN - real) + functional.relu(MARGIN + noisy)).mean()

        def tell() -> None:
            network.fold_into(head)
            if checkpoint is not None:
                checkpoint(head)

        tail = descend(optimiser, losses(), self.steps, track=track, tell=tell)
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
