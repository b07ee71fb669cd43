"""SimpleNet."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from training.method import Checkpoint, Fit, Method
from wscxr.progress import Track, untracked


class SimpleNet(Method):
    """Stub."""

    uses_anomalies: ClassVar[bool] = False
    name: Literal["simplenet"] = "simplenet"

    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Stub."""
        raise NotImplementedError
