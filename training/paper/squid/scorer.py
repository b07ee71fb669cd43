"""The anomaly score: how unreal the rebuilt image looks (Sec. 3.4)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from training.paper.squid.generator import Generator
from training.paper.squid.layers import Discriminator

_BATCH = 32
"""Images scored at once."""

_REFERENCES = 200
"""Training images whose logits set the scale of the score, as in the public code."""


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks in evaluation mode, without gradients, and back into the mode they were in."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)


class Scorer:
    """Scores images by the networks as they are now.

    An image that cannot be rebuilt from normal patterns comes out unreal, so the score falls with
    the discriminator's logit: ``A = 1 - sigmoid((D(G(x)) - mu) / sigma)``, mu and sigma the mean
    and standard deviation of the logits of training images.

    Parameters
    ----------
    generator, discriminator
        On `device`.
    normal
        Training images, shape (N, 1, size, size).
    device
        Where to compute.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        normal: Tensor,
        device: torch.device,
    ) -> None:
        self._generator = generator
        self._discriminator = discriminator
        self._device = device
        references = self.logits(normal[:_REFERENCES])
        self._mean = references.mean()
        self._std = references.std(correction=0).clamp_min(torch.finfo(torch.float64).eps)

    def logits(self, images: Tensor) -> Tensor:
        """How real the rebuilt images look: float64 of shape (B,), on the CPU."""
        with evaluating(self._generator, self._discriminator):
            parts = [
                self._discriminator(self._generator.rebuild(batch.to(self._device))).cpu()
                for batch in torch.split(images, _BATCH)
            ]
        return torch.cat(parts).double()

    def __call__(self, images: Tensor) -> Tensor:
        """Anomaly scores in [0, 1], float64 of shape (B,), of images (B, 1, size, size)."""
        return torch.sigmoid((self._mean - self.logits(images)) / self._std)
