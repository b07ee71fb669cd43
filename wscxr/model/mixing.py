"""Linear mixing: many anomaly features from few (Eq. 6)."""

import torch
from torch import Tensor

ALPHA_RANGE = (0.1, 1.0)
"""Range of the mixing factor alpha in the paper."""


def mix(anomaly: Tensor, normal: Tensor, alpha: Tensor) -> Tensor:
    """Mix each anomaly feature with a normal one (Eq. 6).

    ``m' = alpha m_a + (1 - alpha) m_n``

    Parameters
    ----------
    anomaly, normal
        Features m_a and m_n, float32 of shape (B, C) each.
    alpha
        Mixing factors in [0, 1], float32 of shape (B,).

    Returns
    -------
    Tensor
        Mixed features m', float32 of shape (B, C).
    """
    return torch.lerp(normal, anomaly, alpha[:, None])


def draw_alpha(count: int, generator: torch.Generator) -> Tensor:
    """Draw mixing factors ``alpha ~ U[0.1, 1.0]``.

    Parameters
    ----------
    count
        How many.
    generator
        The random stream, on the CPU.

    Returns
    -------
    Tensor
        float32 of shape (count,), on the CPU.
    """
    low, high = ALPHA_RANGE
    return torch.empty(count).uniform_(low, high, generator=generator)
