"""CutPaste: learns to recognise pasted pieces, and fits a density to features of normal images.

All random numbers are drawn on the CPU, so that one seed draws the same on every device.
"""

import copy
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

from training.methods.fitting import checkpoint_steps, draw
from training.paper.network import Budget, ImageScorer, OnScorer, PictureMethod
from wscxr.errors import ConfigError
from wscxr.progress import Track, untracked

CLASSES = 3
"""Normal, CutPaste, CutPaste-Scar."""

_PATCH_AREA = (0.02, 0.15)
"""Share of the image that a patch covers."""

_PATCH_ASPECT = ((0.3, 1.0), (1.0, 3.3))
"""Height by width of a patch: one of the two ranges, each as often."""

_SCAR_WIDTH, _SCAR_LENGTH, _SCAR_PIXELS = (2.0, 16.0), (10.0, 25.0), 256
"""Sides of a scar in pixels of an image of 256 px; other images have them in proportion."""

_THINNEST = 2**0.5
"""Sides of a scar in small images: any square of this side, however turned, covers the centre of
a pixel."""

_SCAR_TURN = 45.0
"""Largest rotation of a scar, in degrees, either way."""

_JITTER = 0.1
"""Brightness and contrast change by at most this share."""

_SHIFT = 16
"""Images are translated by at most their side divided by this."""


def three_views(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make the paper's 3-way classification task.

    Each image is translated and jittered first, as in the paper; how far, by a sixteenth of the
    side and by a tenth, is our choice. Grey images have no hue or saturation to change.

    Parameters
    ----------
    images
        Normal images, float32 of shape (B, 1, S, S) in [0, 1], on any device.
    generator
        On the CPU.

    Returns
    -------
    views
        float32 of shape (3 B, 1, S, S) in [0, 1]: the images, each with a patch, each with a scar.
    classes
        int64 of shape (3 B,): 0, 1 and 2.
    """
    normal = jitter(translate(images, generator), torch.ones_like(images), generator)
    views = torch.cat([normal, paste_patch(normal, generator), paste_scar(normal, generator)])
    classes = torch.arange(CLASSES, device=images.device).repeat_interleave(len(images))
    return views, classes


def translate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels; what comes into view repeats its border."""
    count, _, side, _ = images.shape
    most = side // _SHIFT
    shift = torch.randint(-most, most + 1, (2, count, 1), generator=generator)
    rows, columns = (torch.arange(side) + shift).clamp(0, side - 1).to(images.device)
    chosen = torch.arange(count, device=images.device)[:, None, None]
    return images[chosen, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def jitter(images: Tensor, region: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, and contrast about the mean of a region that is not empty.

    Parameters
    ----------
    images
        float32 of shape (B, 1, S, S) in [0, 1].
    region
        1 inside and 0 outside, of the same shape.

    Returns
    -------
    Tensor
        The whole images, changed, in [0, 1].
    """
    brightness, contrast = (
        _uniform(1 - _JITTER, 1 + _JITTER, len(images), generator).to(images)[:, None, None, None]
        for _ in range(2)
    )
    bright = images * brightness
    total, pixels = (bright * region).sum((1, 2, 3)), region.sum((1, 2, 3))
    mean = (total / pixels)[:, None, None, None]
    return (mean + contrast * (bright - mean)).clamp(0.0, 1.0)


def paste_patch(images: Tensor, generator: torch.Generator) -> Tensor:
    """CutPaste: a jittered copy of a rectangle of the same image, somewhere else in it."""
    count, side = len(images), images.shape[-1]
    area = _uniform(*_PATCH_AREA, count, generator) * side**2
    wide, tall = (_uniform(*aspect, count, generator) for aspect in _PATCH_ASPECT)
    aspect = torch.where(torch.rand(count, generator=generator) < 0.5, wide, tall)
    return _paste(
        images, (area * aspect).sqrt(), (area / aspect).sqrt(), torch.zeros(count), generator
    )


def paste_scar(images: Tensor, generator: torch.Generator) -> Tensor:
    """CutPaste-Scar: the same with a long, thin, rotated rectangle."""
    count, scale = len(images), images.shape[-1] / _SCAR_PIXELS
    width, length = (
        (_uniform(*sides, count, generator) * scale).clamp_min(_THINNEST)
        for sides in (_SCAR_WIDTH, _SCAR_LENGTH)
    )
    angle = torch.deg2rad(_uniform(-_SCAR_TURN, _SCAR_TURN, count, generator))
    return _paste(images, length, width, angle, generator)


def _paste(
    images: Tensor, height: Tensor, width: Tensor, angle: Tensor, generator: torch.Generator
) -> Tensor:
    """Cut an upright rectangle out of each image and paste it elsewhere, turned.

    Parameters
    ----------
    height, width
        Sides of the rectangles in pixels, float32 of shape (B,).
    angle
        By which they are turned, in radians, of the same shape.
    """
    count, side = len(images), images.shape[-1]
    extent = torch.stack([width, height], dim=1)
    target, source = (
        extent / 2 + torch.rand(count, 2, generator=generator) * (side - extent) for _ in range(2)
    )
    # Whole pixels apart, so that what is not turned is copied, not interpolated.
    source = target + (source - target).round()
    extent, target, source = (part[:, None].to(images) for part in (extent, target, source))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)

    centres = torch.arange(side, device=images.device) + 0.5
    pixels = torch.cartesian_prod(centres, centres).flip(1)
    within = (pixels - target) @ turn.view(-1, 2, 2).to(images)
    inside = (within.abs() <= extent / 2).all(-1).view(images.shape)
    grid = (source + within).view(count, side, side, 2) / side * 2 - 1
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return torch.where(inside, jitter(moved, inside.to(images), generator), images)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


_MOMENTUM = 0.9
_EMBEDDED_TOGETHER = 64


class CutPaste(PictureMethod):
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
        """Train on the normal images, and fit the density to them; see `PictureMethod.fit`."""
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
        checkpoints = checkpoint_steps(self.steps)
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
                if on_checkpoint is not None and step in checkpoints:
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
