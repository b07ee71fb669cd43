"""Generator and discriminator trained in turn."""

import torch
from torch import Tensor

from training.paper.squid.generator import Generator
from training.paper.squid.layers import Discriminator
from training.paper.squid.losses import discriminator_loss, generator_loss
from wscxr.errors import ConfigError

_GENERATOR_EVERY = 2
"""The generator is trained at every second step, the discriminator at every one."""

_BETAS = (0.5, 0.999)
_EPS = 1e-7
_WEIGHT_DECAY = 1e-5

_LOWEST_RATE = 0.1
"""The generator's rate goes along the first two thirds of a cosine to this share of it."""


class Trainer:
    """Two networks and their optimisers.

    Parameters
    ----------
    generator, discriminator
        On the device where to compute, in training mode.
    learning_rate
        Of both.
    steps
        How many there will be.
    """

    def __init__(
        self, generator: Generator, discriminator: Discriminator, learning_rate: float, steps: int
    ) -> None:
        self._generator = generator
        self._discriminator = discriminator
        self._optimiser = torch.optim.Adam(
            generator.parameters(), learning_rate, _BETAS, eps=_EPS, weight_decay=_WEIGHT_DECAY
        )
        self._critic_optimiser = torch.optim.Adam(discriminator.parameters(), learning_rate, _BETAS)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimiser, T_max=steps * 3 // 2, eta_min=_LOWEST_RATE * learning_rate
        )
        self._taken = 0

    def step(self, images: Tensor) -> None:
        """Take the next step.

        Parameters
        ----------
        images
            Shape (B, 1, size, size), on the networks' device.

        Raises
        ------
        ConfigError
            A loss is not finite.
        """
        if self._taken % _GENERATOR_EVERY == 0:
            rebuilt = self._generator(images)
            self._train_discriminator(images, rebuilt.student.detach())
            _, logits = self._judge(images, rebuilt.student)
            _descend(self._optimiser, generator_loss(rebuilt, images, logits))
            self._generator.remember(rebuilt)
        else:
            with torch.no_grad():
                fake = self._generator.rebuild(images)
            self._train_discriminator(images, fake)
        self._schedule.step()
        self._taken += 1

    def _train_discriminator(self, real: Tensor, fake: Tensor) -> None:
        _descend(self._critic_optimiser, discriminator_loss(*self._judge(real, fake)))

    def _judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both kinds, in one batch.

        In batches of one kind, batch normalisation gives away which it is, and what was learnt
        does not hold for the running statistics of both kinds that scores are computed with.
        """
        real_logits, fake_logits = self._discriminator(torch.cat([real, fake])).chunk(2)
        return real_logits, fake_logits


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise ConfigError("training diverged: the loss is not finite; lower learning_rate")
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
