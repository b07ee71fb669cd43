"""The lesion network while it is trained, step by step."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.pretraining.descent import AveragedDescent
from training.pretraining.lesions.batches import Batch, Batches
from training.pretraining.lesions.config import LesionsConfig
from training.pretraining.lesions.frames import HeldFrames
from wscxr.model.lesions import LesionNetwork


class LesionTraining:
    """A lesion network in training.

    Parameters
    ----------
    normal
        Chests to paint on; at least one.
    unlabelled
        Chests with and without disease, which the network teaches itself on; may be empty.
    config
        All settings.
    device
        Where to compute.
    workers
        Processes that paint beside this one; the weights do not depend on it.

    Attributes
    ----------
    descent
        Holds the network and the average of its weights, which is what is kept.
    """

    def __init__(
        self,
        normal: HeldFrames,
        unlabelled: HeldFrames,
        config: LesionsConfig,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self._batches = Batches(normal, unlabelled, config)
        self._config, self._workers = config, workers
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = LesionNetwork()
        self.descent = AveragedDescent(network, config, device)

    def steps(self) -> Iterator[float]:
        """Train; yields the loss of each step.

        Raises
        ------
        ConfigError
            The loss is not finite.
        """
        for batch in DataLoader(self._batches, batch_size=None, num_workers=self._workers):
            yield self._step(batch)

    def _step(self, batch: Batch) -> float:
        pictures, targets = batch.painted, batch.targets
        if len(batch.plain):
            # The running average is surer than the network of the moment, and sees them plain.
            taught = self.descent.predict(batch.plain).sigmoid()
            pictures = torch.cat([pictures, batch.exposed])
            targets = torch.cat([targets, taught])
        return self.descent.step(pictures, partial(self._loss, targets=targets))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weight = torch.tensor(self._config.lesion_weight, device=logits.device)
        return functional.binary_cross_entropy_with_logits(
            logits, targets.to(logits.device), pos_weight=weight
        )
