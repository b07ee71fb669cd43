"""How SQUID learns and scores: augmentation, losses, the steps of training, the anomaly score."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import BatchSampler, RandomSampler

from training.methods.fitting import checkpoint_steps
from training.paper.network import Budget, ImageScorer, OnScorer, PictureMethod
from training.paper.squid.memory import KEPT
from training.paper.squid.networks import GRID, LEVELS, Critic, Generator, Rebuilt
from wscxr.device import one_thread
from wscxr.errors import ConfigError
from wscxr.progress import Track, untracked

_SHIFT = 0.05
_ZOOM = 0.05


def shift_and_zoom(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 5 % of its side and zoom it by up to 5 %; black comes in.

    Parameters
    ----------
    images
        Shape (B, 1, size, size) in [0, 1], on the CPU.
    generator
        Where the shifts and zooms are drawn from.
    """
    zoom, right, down = torch.empty(3, len(images)).uniform_(-1, 1, generator=generator)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / (1 + _ZOOM * zoom)
    # An image reaches from -1 to 1.
    theta[:, 0, 2], theta[:, 1, 2] = 2 * _SHIFT * right, 2 * _SHIFT * down
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


# Weights of the terms of the losses (Sec. 3.4).
TEACHER = 0.01
STUDENT = 10.0
DISTILLATION = 0.001
GENERATOR = 0.005
CRITIC = 0.005


def distillation(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Mean squared difference of the two decoders' features, summed over the levels."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([functional.mse_loss(one, two) for one, two in pairs]).sum()


def generator_loss(rebuilt: Rebuilt, images: Tensor, logits: Tensor) -> Tensor:
    """Rebuild the images, follow the teacher, and look real.

    Parameters
    ----------
    rebuilt
        Output of the generator for the images.
    images
        Shape (B, 1, size, size).
    logits
        The critic's logits of the student's images, shape (B,).
    """
    return (
        STUDENT * functional.mse_loss(rebuilt.student, images)
        + TEACHER * functional.mse_loss(rebuilt.teacher, images)
        + DISTILLATION * distillation(rebuilt.student_levels, rebuilt.teacher_levels)
        + GENERATOR * functional.softplus(-logits).mean()
    )


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the logits of real and of rebuilt images, each of shape (B,)."""
    return CRITIC * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


_GENERATOR_EVERY = 2
"""The generator is trained at every second step, the critic at every one."""

_BETAS = (0.5, 0.999)
_EPS = 1e-7
_WEIGHT_DECAY = 1e-5

_LOWEST_RATE = 0.1
"""The generator's rate goes along the first two thirds of a cosine to this share of it."""


class Trainer:
    """Two networks and their optimisers.

    Parameters
    ----------
    generator, critic
        On the device where to compute, in training mode.
    learning_rate
        Of both.
    steps
        How many there will be.
    """

    def __init__(
        self, generator: Generator, critic: Critic, learning_rate: float, steps: int
    ) -> None:
        self._generator = generator
        self._critic = critic
        self._optimiser = torch.optim.Adam(
            generator.parameters(), learning_rate, _BETAS, eps=_EPS, weight_decay=_WEIGHT_DECAY
        )
        self._critic_optimiser = torch.optim.Adam(critic.parameters(), learning_rate, _BETAS)
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
            self._train_critic(images, rebuilt.student.detach())
            _, logits = self._judge(images, rebuilt.student)
            _descend(self._optimiser, generator_loss(rebuilt, images, logits))
            self._generator.remember(rebuilt)
        else:
            with torch.no_grad():
                fake = self._generator.rebuild(images)
            self._train_critic(images, fake)
        self._schedule.step()
        self._taken += 1

    def _train_critic(self, real: Tensor, fake: Tensor) -> None:
        _descend(self._critic_optimiser, critic_loss(*self._judge(real, fake)))

    def _judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both kinds, in one batch.

        In batches of one kind, batch normalisation gives away which it is, and what was learnt
        does not hold for the running statistics of both kinds that scores are computed with.
        """
        real_logits, fake_logits = self._critic(torch.cat([real, fake])).chunk(2)
        return real_logits, fake_logits


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise ConfigError("training diverged: the loss is not finite; lower learning_rate")
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


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


class RealismScorer:
    """Scores images by the networks as they are now.

    An image that cannot be rebuilt from normal patterns comes out unreal, so the score falls with
    the critic's logit: ``A = 1 - sigmoid((D(G(x)) - mu) / sigma)``, mu and sigma the mean
    and standard deviation of the logits of training images.

    Parameters
    ----------
    generator, critic
        On `device`.
    normal
        Training images, shape (N, 1, size, size).
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        normal: Tensor,
        device: torch.device,
    ) -> None:
        self._generator = generator
        self._critic = critic
        self._device = device
        references = self.logits(normal[:_REFERENCES])
        self._mean = references.mean()
        self._std = references.std(correction=0).clamp_min(torch.finfo(torch.float64).eps)

    def logits(self, images: Tensor) -> Tensor:
        """How real the rebuilt images look: float64 of shape (B,), on the CPU."""
        with evaluating(self._generator, self._critic):
            parts = [
                self._critic(self._generator.rebuild(batch.to(self._device))).cpu()
                for batch in torch.split(images, _BATCH)
            ]
        return torch.cat(parts).double()

    def __call__(self, images: Tensor) -> Tensor:
        """Anomaly scores in [0, 1], float64 of shape (B,), of images (B, 1, size, size)."""
        return torch.sigmoid((self._mean - self.logits(images)) / self._std)


class Squid(PictureMethod):
    """SQUID (Xiang et al., CVPR 2023, arXiv 2111.13495).

    A generator rebuilds the image from patterns of normal images that it keeps for each place; a
    critic says how real the result looks, and that is the score. Structure and numbers are
    those of the paper and of its public code's setting for ZhangLab. What differs:

    - The length is a number of steps, for any number of images: 15,800 are 200 epochs over
      about 1,250 images. The last networks are kept; the public code keeps the epoch that scores
      best on labelled validation images.
    - Scores come from networks in evaluation mode, and in training the critic sees real and
      rebuilt images in one batch, so that its batch normalisation is the same in both. The public
      code gives it one kind at a time, and leaves it in training mode for one test image at a time.
    - Gumbel shrinkage keeps five patterns; the public code cuts off the fifth as well.
    - Where both networks are trained in one step, they see the same rebuilt images.
    - Images are shifted and zoomed with bilinear, not nearest, interpolation.
    - `Budget.CPU`: a quarter of the pixels, a quarter of the channels, a twentieth of the steps,
      ten times the learning rate.

    Training takes one core: on a busy machine two threads that waited for each other took sixteen
    times as long as one. On a GPU some sums have no fixed order, so scores repeat only nearly.

    Attributes
    ----------
    size
        Side of the input, in pixels.
    width
        Channels of the generator's finest level; the critic starts with half of them.
    slots
        Patterns that each memory holds for each place.
    steps
        Batches. The critic learns from each, the generator from every second.
    batch_size
        Images of a batch.
    learning_rate
        Of Adam for both networks; the generator's falls along a cosine.
    """

    uses_anomalies: ClassVar[bool] = False

    name: Literal["squid"] = "squid"
    size: int = Field(default=128, ge=64, multiple_of=GRID << LEVELS)
    width: int = Field(default=32, ge=4, multiple_of=4)
    slots: int = Field(default=200, ge=KEPT)
    steps: PositiveInt = 15_800
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)

    @classmethod
    def within(cls, budget: Budget) -> Self:
        """The paper's setting for ZhangLab, or one sized down for two cores."""
        if budget is Budget.FULL:
            return cls()
        return cls(size=64, width=8, steps=800, learning_rate=1e-3)

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
        """Train generator and critic in turn; `anomaly` is not looked at."""
        random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = Generator(self.size, self.width, self.slots, random).to(device)
            critic = Critic(self.width // 2, self.size).to(device)
        trainer = Trainer(generator, critic, self.learning_rate, self.steps)
        drawn = RandomSampler(
            range(len(normal)), num_samples=self.steps * self.batch_size, generator=random
        )
        batches = BatchSampler(drawn, self.batch_size, drop_last=True)
        checkpoints = checkpoint_steps(self.steps)
        with one_thread():
            for step, rows in enumerate(track(batches, "training SQUID", self.steps)):
                trainer.step(shift_and_zoom(normal[rows], random).to(device))
                if on_checkpoint is not None and step in checkpoints:
                    on_checkpoint(RealismScorer(generator, critic, normal, device))
            return RealismScorer(generator.eval(), critic.eval(), normal, device)
