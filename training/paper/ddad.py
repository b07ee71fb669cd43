"""DDAD: two ensembles of autoencoders, one of which knows anomalies, and where they disagree."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from training.methods.fitting import checkpoint_steps, draw
from training.paper.network import Budget, ImageScorer, OnScorer, PictureMethod
from wscxr.device import one_thread
from wscxr.errors import ConfigError
from wscxr.progress import Track, untracked

DOWNSAMPLING = 16
"""Side of the input over side of the deepest feature map."""

_CHANNELS = (16, 32, 64, 64)
_HIDDEN = 2048
_LATENT = 16


class AutoencoderU(nn.Module):
    """AE-U with a latent code of 16 numbers.

    Four convolutions halve the image each, two linear layers take it to the latent code, and the
    decoder mirrors them. Every layer but the latent code and the output is followed by batch
    normalisation and ReLU.

    Parameters
    ----------
    size
        Side of the images, a multiple of 16.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        side = size // DOWNSAMPLING
        deepest = _CHANNELS[-1]
        encoder: list[nn.Module] = []
        for before, after in zip((1, *_CHANNELS), _CHANNELS, strict=False):
            encoder += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.encoder = nn.Sequential(
            *encoder,
            nn.Flatten(),
            nn.Linear(deepest * side**2, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _LATENT),
        )
        decoder: list[nn.Module] = []
        for before, after in zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True):
            decoder += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.decoder = nn.Sequential(
            nn.Linear(_LATENT, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, deepest * side**2),
            nn.Unflatten(1, (deepest, side, side)),
            *decoder,
            nn.ConvTranspose2d(_CHANNELS[0], 2, 4, stride=2, padding=1, bias=False),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct images.

        Parameters
        ----------
        images
            float32 of shape (B, 1, size, size) in [-1, 1].

        Returns
        -------
        tuple
            The reconstruction, and the logarithm of the variance it is expected to be wrong by;
            both of the images' shape.
        """
        reconstruction, log_variance = self.decoder(self.encoder(images)).chunk(2, dim=1)
        return reconstruction, log_variance


def reconstruction_loss(images: Tensor, reconstruction: Tensor, log_variance: Tensor) -> Tensor:
    """Negative Gaussian log-likelihood up to constants: mean of exp(-s) (x - x')^2 + s.

    Parameters
    ----------
    images, reconstruction, log_variance
        x, x' and s, of one shape.
    """
    return (torch.exp(-log_variance) * (images - reconstruction).square() + log_variance).mean()


class DualEnsemble(nn.Module):
    """Module A, which also knows unlabelled images, and module B, which knows normal ones only.

    Each is an ensemble of reconstruction networks (Cai et al., 2022, Sec. 2.1).

    Parameters
    ----------
    members
        Networks in each module.
    size
        Side of the images.
    """

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.module_a = nn.ModuleList([AutoencoderU(size) for _ in range(members)])
        self.module_b = nn.ModuleList([AutoencoderU(size) for _ in range(members)])

    @property
    def networks(self) -> list[AutoencoderU]:
        """All members, those of module A first."""
        return [*self.module_a, *self.module_b]

    def discrepancy(self, images: Tensor) -> Tensor:
        """Map of the modules' disagreement: ``|mean of A - mean of B|`` over sigma.

        Sigma, the standard deviation that module B predicts, takes away what is hard to reconstruct
        in any case, such as edges: sigma^2 is the mean of its members' variances.

        Parameters
        ----------
        images
            float32 of shape (B, 1, size, size) in [-1, 1].

        Returns
        -------
        Tensor
            float32 of the same shape, 0 or more.
        """
        of_a, _ = _reconstruct(self.module_a, images)
        of_b, sigma = _reconstruct(self.module_b, images)
        return (of_a.mean(dim=0) - of_b.mean(dim=0)).abs() / sigma


def _reconstruct(module: nn.ModuleList, images: Tensor) -> tuple[Tensor, Tensor]:
    """All members' reconstructions, one more dimension in front, and sigma."""
    reconstructions, log_variances = zip(*(member(images) for member in module), strict=True)
    variance = torch.stack(log_variances).exp().mean(dim=0)
    return torch.stack(reconstructions), variance.sqrt()


class Ddad(PictureMethod):
    """Dual-distribution discrepancy with the AE-U backbone.

    Y. Cai et al., *Dual-Distribution Discrepancy for Anomaly Detection in Chest X-Rays*, MICCAI
    2022, arXiv 2206.03935. Of the paper's three backbones it is AE-U, which knows its uncertainty.
    The image score is the mean of the discrepancy map over all pixels of that image, and nothing
    else: no statistic of other test images enters.

    **Where this setting is not the paper's.** The paper trains module A on the normal images and
    on thousands of *unlabelled* ones, many of them abnormal (RSNA: 3,851 normal and 4,000
    unlabelled images, 60 % of these abnormal). Here nothing is known but the normal images and
    the K anomaly images, which therefore stand for the unlabelled abnormal ones. Drawn in
    proportion to their number they would be lost among the normal images, and the two modules
    would learn the same; so they are drawn so often that they make up the same part of module
    A's batches as in the paper. That is the one use made of their label: the loss is the same
    for every image. What this cannot give is variety: module A sees K different anomalies
    instead of 2,400, and the discrepancy is weaker for it. A number of this class says
    little about DDAD with a hospital's unlabelled images. The refinement network of the later
    DDAD-ASR is left out.

    Attributes
    ----------
    size
        Side of the images, a multiple of 16.
    members
        Networks in each of the two modules.
    steps
        Optimiser steps of each network.
    batch_size
        Images in a batch of one network.
    anomaly_fraction
        Part of a batch of module A that is drawn from the anomaly images.
    learning_rate
        Of Adam; its betas are those of the authors' code.
    """

    uses_anomalies: ClassVar[bool] = True

    name: Literal["ddad"] = "ddad"
    size: int = Field(default=64, gt=0, multiple_of=DOWNSAMPLING)
    members: int = Field(default=3, ge=2)
    steps: PositiveInt
    batch_size: int = Field(default=64, ge=2)
    anomaly_fraction: float = Field(default=2400 / 7851, ge=0, le=1)
    learning_rate: PositiveFloat = 5e-4

    @classmethod
    def within(cls, budget: Budget) -> "Ddad":
        """The settings for a budget.

        The paper trains for 250 epochs; in full these are 250 epochs of ZhangLab's 1,341 normal
        images.
        """
        if budget is Budget.FULL:
            return cls(steps=5000)
        return cls(size=32, steps=1250)

    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        on_checkpoint: OnScorer | None = None,
    ) -> ImageScorer:
        """Train all networks side by side, step by step, each on batches of its own.

        They are spread over as many cores as PyTorch may use.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ensemble = DualEnsemble(self.members, self.size)
        ensemble.to(device).train()
        normal, anomaly = (_as_input(images.to(device)) for images in (normal, anomaly))
        scorer = self._scorer(ensemble, device)
        optimiser = torch.optim.Adam(
            ensemble.parameters(), lr=self.learning_rate, betas=(0.5, 0.999), fused=True
        )
        generator = torch.Generator().manual_seed(seed)
        checkpoints = checkpoint_steps(self.steps)
        workers = torch.get_num_threads()
        with (
            # The networks know nothing of each other: one core each beats all cores on each.
            one_thread(),
            ThreadPoolExecutor(workers) as pool,
            # cuDNN would else be free to sum gradients in another order each time.
            torch.backends.cudnn.flags(enabled=True, deterministic=True),
        ):
            for step in track(range(self.steps), "training DDAD", self.steps):
                batches = [
                    self._draw_batch(normal, anomaly, part, generator)
                    for part in (self.anomaly_fraction, 0)
                    for _ in range(self.members)
                ]
                optimiser.zero_grad()
                losses = list(pool.map(_backward, ensemble.networks, batches))
                if not all(map(math.isfinite, losses)):
                    raise ConfigError(
                        "training diverged: the loss is not finite; lower learning_rate"
                    )
                optimiser.step()
                if on_checkpoint is not None and step in checkpoints:
                    ensemble.eval()
                    on_checkpoint(scorer)
                    ensemble.train()
        ensemble.eval()
        return scorer

    def _draw_batch(
        self, normal: Tensor, anomaly: Tensor, part: float, generator: torch.Generator
    ) -> Tensor:
        """A batch of which a part is drawn from the anomaly images."""
        n_anomaly = round(part * self.batch_size)
        chosen = [draw(normal, self.batch_size - n_anomaly, generator)]
        if n_anomaly:
            chosen.append(draw(anomaly, n_anomaly, generator))
        return torch.cat(chosen)

    def _scorer(self, ensemble: DualEnsemble, device: torch.device) -> ImageScorer:
        """The mean of the discrepancy map of each image."""

        @torch.no_grad()
        def score(images: Tensor) -> Tensor:
            parts = [
                ensemble.discrepancy(_as_input(batch.to(device))).mean(dim=(1, 2, 3)).cpu()
                for batch in torch.split(images, self.batch_size)
            ]
            return torch.cat(parts)

        return score


def _backward(network: AutoencoderU, images: Tensor) -> float:
    """Leave the gradients of one network's loss on a batch in its weights."""
    loss = reconstruction_loss(images, *network(images))
    torch.autograd.backward(loss)
    return loss.item()


def _as_input(images: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1], as in the authors' code."""
    return 2 * images - 1
