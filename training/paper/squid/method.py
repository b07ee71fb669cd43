"""Settings of SQUID, and how it learns."""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler

from training.methods.fitting import checkpoint_steps, one_thread
from training.paper.network import Budget, ImageScorer, Network, OnScorer
from training.paper.squid.augmentation import shift_and_zoom
from training.paper.squid.generator import Generator
from training.paper.squid.layers import GRID, LEVELS, Discriminator
from training.paper.squid.memory import KEPT
from training.paper.squid.scorer import Scorer
from training.paper.squid.trainer import Trainer
from wscxr.progress import Track, untracked


class Squid(Network):
    """SQUID (Xiang et al., CVPR 2023, arXiv 2111.13495).

    A generator rebuilds the image from patterns of normal images that it keeps for each place; a
    discriminator says how real the result looks, and that is the score. Structure and numbers are
    those of the paper and of its public code's setting for ZhangLab. What differs:

    - The length is a number of steps, whatever the number of images: 15,800 are 200 epochs over
      about 1,250 images. The last networks are kept; the public code keeps the epoch that scores
      best on labelled validation images.
    - Scores come from networks in evaluation mode, and in training the discriminator sees real and
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
        Channels of the generator's finest level; the discriminator starts with half of them.
    slots
        Patterns that each memory holds for each place.
    steps
        Batches. The discriminator learns from each, the generator from every second.
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
        """Train generator and discriminator in turn; `anomaly` is not looked at."""
        random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = Generator(self.size, self.width, self.slots, random).to(device)
            discriminator = Discriminator(self.width // 2, self.size).to(device)
        trainer = Trainer(generator, discriminator, self.learning_rate, self.steps)
        drawn = RandomSampler(
            range(len(normal)), num_samples=self.steps * self.batch_size, generator=random
        )
        batches = BatchSampler(drawn, self.batch_size, drop_last=True)
        tell = checkpoint_steps(self.steps)
        with one_thread():
            for step, rows in enumerate(track(batches, "training SQUID", self.steps)):
                trainer.step(shift_and_zoom(normal[rows], random).to(device))
                if on_checkpoint is not None and step in tell:
                    on_checkpoint(Scorer(generator, discriminator, normal, device))
            return Scorer(generator.eval(), discriminator.eval(), normal, device)
