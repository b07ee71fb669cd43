"""The lung network while it is trained, step by step."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from training.pretraining.descent import AveragedDescent
from training.pretraining.lungs.augment import draw_pictures, stretch
from training.pretraining.lungs.config import LungsConfig
from training.pretraining.lungs.masks import MaskedPictures
from wscxr.anatomy.network import INPUT_SIDE, LungNetwork

_BLOCK = 64
"""Pictures measured together."""

_SETTLED = 0.35
"""Strength of the augmentation at the end."""


class LungTraining:
    """A lung network in training.

    Parameters
    ----------
    pictures
        Radiographs with masks that are learned from.
    groups
        Places of each group's pictures among them; groups are drawn from equally often.
    unlabelled
        Upright chests without masks, uint8 of shape (N, 1, side, side); may be empty.
    config
        All settings.
    device
        Where to compute.

    Attributes
    ----------
    descent
        Holds the network and the average of its weights, which is what is kept.
    mispaired
        Places of the pictures whose masks were dropped; see `LungsConfig.mispaired_below`.
    """

    def __init__(
        self,
        pictures: MaskedPictures,
        groups: Sequence[Tensor],
        unlabelled: Tensor,
        config: LungsConfig,
        device: torch.device,
    ) -> None:
        self._pictures, self._groups, self._unlabelled = pictures, list(groups), unlabelled
        self._config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = LungNetwork()
        self.descent = AveragedDescent(network, config, device)
        self.mispaired: list[int] = []

    def steps(self) -> Iterator[float]:
        """Train; yields the loss of each step.

        Raises
        ------
        ConfigError
            The loss is not finite.
        """
        generator = torch.Generator().manual_seed(self._config.seed)
        taught = round(self._config.teach_after * self._config.steps)
        settled = round(self._config.settle_after * self._config.steps)
        for step in range(self._config.steps):
            if step == taught:
                self._drop_mispaired()
            drawn = self._draw(generator, taught=step >= taught)
            strength = _SETTLED if step >= settled else 1.0
            pixels, masks = draw_pictures(*drawn, generator, strength=strength)
            yield self.descent.step(pixels, partial(_loss, masks=masks))

    def dice(self, pictures: MaskedPictures) -> Tensor:
        """Dice coefficients of the average's masks with the drawn ones, at the latter's size.

        Parameters
        ----------
        pictures
            Radiographs with masks.

        Returns
        -------
        Tensor
            float32 of shape (N,).
        """
        coefficients = []
        for pixels, masks in zip(
            torch.split(pictures.pixels, _BLOCK), torch.split(pictures.masks, _BLOCK), strict=True
        ):
            found, drawn = self._lungs(pixels) > 0.5, masks > 127
            both = (found & drawn).sum((1, 2, 3))
            either = found.sum((1, 2, 3)) + drawn.sum((1, 2, 3))
            coefficients.append(2 * both / either.clamp(min=1))
        return torch.cat(coefficients)

    def _draw(self, generator: torch.Generator, *, taught: bool) -> tuple[Tensor, Tensor]:
        n_taught = 0
        if taught and len(self._unlabelled):
            n_taught = round(self._config.unlabelled_share * self._config.batch_size)
        counts = _even_shares(self._config.batch_size - n_taught, len(self._groups))
        chosen = torch.cat(
            [
                group[torch.randint(len(group), (count,), generator=generator)]
                for group, count in zip(self._groups, counts, strict=True)
            ]
        )
        pixels, masks = (
            part[chosen].float() / 255 for part in (self._pictures.pixels, self._pictures.masks)
        )
        if not n_taught:
            return pixels, masks
        places = torch.randint(len(self._unlabelled), (n_taught,), generator=generator)
        others = self._unlabelled[places]
        return torch.cat([pixels, others.float() / 255]), torch.cat([masks, self._lungs(others)])

    def _lungs(self, pixels: Tensor) -> Tensor:
        """What the average finds in held pictures (uint8), as probabilities of their size."""
        small = functional.interpolate(
            pixels.float() / 255, INPUT_SIDE, mode="bilinear", antialias=True, align_corners=False
        )
        logits = self.descent.predict(stretch(small))
        return functional.interpolate(logits, pixels.shape[-1], mode="bilinear").sigmoid()

    def _drop_mispaired(self) -> None:
        dice = self.dice(self._pictures)
        good = dice >= self._config.mispaired_below
        self.mispaired = (~good).nonzero()[:, 0].tolist()
        self._groups = [
            kept for group in self._groups if len(kept := group[good[group]])
        ] or self._groups


def _loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy, and what is missing to a Dice coefficient of 1."""
    masks = masks.to(logits.device)
    lungs = logits.sigmoid()
    both, either = (lungs * masks).sum((1, 2, 3)), (lungs + masks).sum((1, 2, 3))
    # Dice weighs a small lung like a large one; of an empty mask it says nothing.
    filled = masks.amax((1, 2, 3)) > 0
    overlap = torch.where(filled, (2 * both + 1) / (either + 1), 1)
    pixelwise = functional.binary_cross_entropy_with_logits(logits, masks)
    return pixelwise + 1 - overlap.mean()


def _even_shares(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]
