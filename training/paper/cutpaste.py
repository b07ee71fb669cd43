"""CutPaste: what tells normal images from the same with a piece pasted in, and its density."""

import copy
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

from training.methods.fitting import checkpoint_steps, draw
from training.paper.cutpaste_augment import CLASSES, three_views
from training.paper.network import Budget, ImageScorer, Network, OnScorer
from wscxr.errors import ConfigError
from wscxr.progress import Track, untracked

_MOMENTUM = 0.9
_EMBEDDED_TOGETHER = 64


class CutPaste(Network):
    """CutPaste, 3-way (Li et al., CVPR 2021, arXiv 2104.04015).

    A ResNet-18 learns which images are normal, have a patch pasted in, or a scar; then a Gaussian
    is fitted to what it makes of the normal images. The score is the squared Mahalanobis distance
    to it, which is, but for scale and a constant, the negative log density.

    Of the paper's two variants, from scratch and from ImageNet weights, this is the first: nothing
    is downloaded. The projection head has hidden layers of 512 and 128, like that of a public
    reimplementation. With about as many normal images as the embedding has channels the covariance
    must be shrunk: Ledoit and Wolf's estimate.

    Attributes
    ----------
    size
        Side of the input.
    steps
        Optimiser steps; the paper's 256 epochs are of 256 steps each.
    batch_size
        Normal images in one step, each of which comes in three views: the paper's 96.
    learning_rate
        Of SGD with momentum, decayed to 0 along half a cosine.
    weight_decay
        Of all weights.
    """

    uses_anomalies: ClassVar[bool] = False

    name: Literal["cutpaste"] = "cutpaste"
    size: int = Field(default=256, ge=32)
    steps: PositiveInt = 256 * 256
    batch_size: PositiveInt = 32
    learning_rate: float = Field(default=0.03, gt=0)
    weight_decay: float = Field(default=3e-5, ge=0)

    @classmethod
    def within(cls, budget: Budget) -> "CutPaste":
        """The paper's setting, or 64 px and a few hundred steps."""
        return cls() if budget is Budget.FULL else cls(size=64, steps=400, batch_size=16)

    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,  # noqa: ARG002
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        on_checkpoint: OnScorer | None = None,
    ) -> ImageScorer:
        """Train on the normal images, and fit the density to them; see `Network.fit`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network()
        network.to(device).train()
        optimiser = torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=_MOMENTUM,
            weight_decay=self.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        generator = torch.Generator().manual_seed(seed)
        tell = checkpoint_steps(self.steps)
        with torch.backends.cudnn.flags(deterministic=True):
            for step in track(range(self.steps), "training CutPaste", self.steps):
                images = draw(normal, self.batch_size, generator).to(device)
                views, classes = three_views(images, generator)
                loss = functional.cross_entropy(network(views), classes)
                if not torch.isfinite(loss):
                    raise _diverged()
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
                if on_checkpoint is not None and step in tell:
                    on_checkpoint(_GaussianDensity(network, normal, device))
        return _GaussianDensity(network, normal, device)


class _Network(nn.Module):
    """ResNet-18, a projection head, and a linear layer to the three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = resnet18(weights=None)
        channels = self.trunk.fc.in_features
        self.trunk.fc = nn.Identity()
        self.head = nn.Sequential(
            nn.Linear(channels, 512),
            nn.ReLU(),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Linear(128, CLASSES),
        )

    def embed(self, images: Tensor) -> Tensor:
        """Images of shape (B, 1, S, S) -> embeddings of shape (B, 512)."""
        embeddings: Tensor = self.trunk(images.expand(-1, 3, -1, -1))
        return embeddings

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (B, 1, S, S) -> logits of shape (B, 3)."""
        logits: Tensor = self.head(self.embed(images))
        return logits


class _GaussianDensity:
    """A copy of a network as it is now, and a Gaussian over its embeddings of normal images."""

    def __init__(self, network: _Network, normal: Tensor, device: torch.device) -> None:
        self._network = copy.deepcopy(network).eval()
        self._device = device
        starts = range(0, len(normal), _EMBEDDED_TOGETHER)
        embeddings = torch.cat(
            [self._embed(normal[start : start + _EMBEDDED_TOGETHER]) for start in starts]
        )
        if not torch.isfinite(embeddings).all():
            raise _diverged()
        self._gaussian = LedoitWolf().fit(embeddings.numpy())

    def __call__(self, images: Tensor) -> Tensor:
        distances = self._gaussian.mahalanobis(self._embed(images).numpy())
        return torch.from_numpy(distances).float()

    @torch.no_grad()
    def _embed(self, images: Tensor) -> Tensor:
        return self._network.embed(images.to(self._device)).cpu().double()


def _diverged() -> ConfigError:
    return ConfigError("training diverged: the loss is not finite; lower learning_rate")
