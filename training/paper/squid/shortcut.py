"""Masked shortcut: in training, a few features go past the in-painting (Sec. 3.3)."""

import torch
from torch import Tensor, nn

IN_PAINTED = 0.95
"""Share of positions that take the in-painted feature in training (rho)."""


class MaskedShortcut(nn.Module):
    """Draws, for each position, whether the original or the in-painted feature goes on.

    ``F' = (1 - delta) F + delta inpaint(F)``, delta ~ Bernoulli(0.95) in training and 1 after it.

    Parameters
    ----------
    generator
        Where delta is drawn from, on the CPU.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def forward(self, original: Tensor, in_painted: Tensor) -> Tensor:
        """Mix two maps of shape (B, C, H, W); all channels of a position go the same way."""
        if not self.training:
            return in_painted
        count, _, height, width = original.shape
        share = torch.full((count, 1, height, width), IN_PAINTED)
        delta = torch.bernoulli(share, generator=self._generator).to(original.device)
        return delta * in_painted + (1 - delta) * original
