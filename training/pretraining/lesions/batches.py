"""The pictures of each training step, the same ones however many processes paint them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from training.pretraining.lesions.chest import Picture, between
from training.pretraining.lesions.config import LesionsConfig
from training.pretraining.lesions.frames import HeldFrames, draw_chest
from training.pretraining.lesions.innocent import expose
from training.pretraining.lesions.paint import paint, stretch


class Batch(NamedTuple):
    """What one step learns from; each tensor float32 of shape (B, 1, side, side) in [0, 1].

    Attributes
    ----------
    painted, targets
        Pictures, most with painted lesions, and where these are.
    plain, exposed
        Unlabelled chests as they are, and otherwise exposed; of shape (0, 1, side, side) without
        any.
    """

    painted: Tensor
    targets: Tensor
    plain: Tensor
    exposed: Tensor


@dataclass(frozen=True)
class Batches(Dataset[Batch]):
    """Step -> its batch. A step has a random stream of its own.

    Attributes
    ----------
    normal
        Chests to paint on.
    unlabelled
        Chests with and without disease; may be empty.
    config
        All settings.
    """

    normal: HeldFrames
    unlabelled: HeldFrames
    config: LesionsConfig

    def __len__(self) -> int:
        """How many steps there are."""
        return self.config.steps

    def __getitem__(self, step: int) -> Batch:
        """Draw the pictures of a step, counted from 0."""
        config = self.config
        rng = np.random.default_rng([config.seed, step])
        painted, targets = zip(*(self._paint(rng) for _ in range(config.batch_size)), strict=True)
        taught = 0
        if len(self.unlabelled) and step >= config.teach_after * config.steps:
            taught = round(config.unlabelled_share * config.batch_size)
        views = [self._expose(rng) for _ in range(taught)]
        return Batch(
            _stack(painted),
            _stack(targets),
            _stack([plain for plain, _ in views]),
            _stack([exposed for _, exposed in views]),
        )

    def _paint(self, rng: Generator) -> tuple[Picture, Picture]:
        first, second = rng.integers(len(self.normal), size=2).tolist()
        chest, other = draw_chest(self.normal, first, rng), draw_chest(self.normal, second, rng)
        return paint(chest, other, rng, lesion_share=self.config.lesion_share)

    def _expose(self, rng: Generator) -> tuple[Picture, Picture]:
        chest = draw_chest(self.unlabelled, int(rng.integers(len(self.unlabelled))), rng)
        exposed = stretch(expose(chest, rng), between(rng, 0, 0.02))
        return stretch(chest.pixels), exposed


def _stack(pictures: list[Picture] | tuple[Picture, ...]) -> Tensor:
    if not pictures:
        return torch.empty(0)
    return torch.from_numpy(np.stack(pictures))[:, None]
