"""How the dense networks descend: AdamW, a warm cosine, and a running average that is kept."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.pretraining.config import DescentConfig
from training.pretraining.precision import multiplies_bf16
from wscxr.errors import ConfigError

_WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""


class AveragedDescent:
    """A network, the running average of its weights, and its optimiser.

    Parameters
    ----------
    network
        Pictures in, a map of logits out.
    config
        Its settings; the running average, while it is young, forgets faster.
    device
        Where to compute; bf16 is used where the device multiplies it in hardware.
    """

    def __init__(
        self,
        network: nn.Module,
        config: DescentConfig,
        device: torch.device,
    ) -> None:
        self._network = network.to(memory_format=torch.channels_last).to(device).train()
        self._config, self._device = config, device
        self._average = AveragedModel(
            self._network,
            avg_fn=lambda average_, new, steps_: _towards(
                average_, new, max(1 - config.average, 9 / (int(steps_) + 10))
            ),
            use_buffers=True,
        ).eval()
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._done = 0

    def step(self, pictures: Tensor, loss_of: Callable[[Tensor], Tensor]) -> float:
        """Take one step.

        Parameters
        ----------
        pictures
            What the network sees, on any device.
        loss_of
            Takes its logits, float32 on the training device.

        Returns
        -------
        float
            The loss.

        Raises
        ------
        ConfigError
            It is not finite.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * self._rate()
        bf16 = multiplies_bf16(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self._network(pictures.to(self._device))
        loss = loss_of(logits.float())
        if not torch.isfinite(loss):
            raise ConfigError("training diverged: lower learning_rate")
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self._done += 1
        return loss.item()

    @torch.no_grad()
    def predict(self, pictures: Tensor) -> Tensor:
        """Logits of the averaged network, float32 on the CPU."""
        logits: Tensor = self._average(pictures.to(self._device))
        return logits.float().cpu()

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, contiguous and on the CPU."""
        state = self._average.module.state_dict()
        return {key: value.cpu().contiguous() for key, value in state.items()}

    def _rate(self) -> float:
        done = (self._done + 1) / self._config.steps
        if done < _WARM_UP:
            return done / _WARM_UP
        return (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2


def _towards(average: Tensor, new: Tensor, share: float) -> Tensor:
    """The average a step later; counters are taken as they are."""
    return torch.lerp(average, new, share) if average.is_floating_point() else new
