"""The network while it is trained, step by step, and a probe of how good it is."""

import hashlib
import math
from collections.abc import Callable, Iterator

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from training.pretraining.backbone.config import PretrainConfig, RandomView
from training.pretraining.backbone.objectives import Objective
from training.pretraining.backbone.views import Pictures, draw_views
from training.pretraining.precision import multiplies_bf16
from wscxr import __version__
from wscxr.errors import ConfigError
from wscxr.model.backbone import build_backbone
from wscxr.model.weights import imagenet_normalisation


class Probe(BaseModel):
    """Quality of a backbone, measured without labels on held-out radiographs.

    Attributes
    ----------
    rank
        Effective rank of the patch features (RankMe: Garrido et al., ICML 2023), from 1 to C. A
        collapsed backbone has a low one.
    retrieval
        How often a view's mean feature lies nearest to that of the other view of the same
        radiograph, in [0, 1]; guessing gives 1 / images.
    images
        Radiographs it was measured on.
    """

    model_config = ConfigDict(frozen=True)

    rank: float
    retrieval: float
    images: int


@torch.no_grad()
def probe(
    trunk: Callable[[Tensor], Tensor], pictures: Tensor, view: RandomView, batch_size: int
) -> Probe:
    """Measure a network in evaluation mode.

    Parameters
    ----------
    trunk
        Views of shape (B, 1, size, size) -> feature maps of shape (B, C, H', W').
    pictures
        float32 of shape (N, 1, side, side) in [0, 1], N >= 2, on the network's device.
    view
        How views are drawn; always the same ones.
    batch_size
        Radiographs that are computed at once.
    """
    generator = torch.Generator().manual_seed(0)
    pooled: tuple[list[Tensor], list[Tensor]] = ([], [])
    patches: list[Tensor] = []
    for batch in torch.split(pictures, batch_size):
        for means, views in zip(pooled, draw_views(batch, view, generator), strict=True):
            maps = trunk(views.pixels)
            means.append(maps.mean(dim=(2, 3)))
            patches.append(maps.permute(0, 2, 3, 1).flatten(0, 2))
    first, second = (torch.cat(means) for means in pooled)
    centre, scale = first.mean(dim=0), first.std(dim=0, correction=0).clamp(min=1e-6)
    first, second = (functional.normalize((x - centre) / scale) for x in (first, second))
    nearest = (first @ second.T).argmax(dim=1)
    right = nearest == torch.arange(len(first), device=nearest.device)
    return Probe(
        rank=effective_rank(torch.cat(patches)),
        retrieval=float(right.float().mean()),
        images=len(first),
    )


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the singular values of the centred features.

    Parameters
    ----------
    features
        float32 of shape (N, C).

    Returns
    -------
    float
        From 1 (one direction, or none) to C.
    """
    centred = (features - features.mean(dim=0)).double()
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(torch.special.entr(share).sum()))


_WARM_UP = 0.1
"""Share of the steps over which the learning rate rises."""

_PROBED, _PROBED_SHARE = (2, 256), 0.05
"""Radiographs held out for the probe: a share of all, but at least and at most so many."""


class Training(nn.Module):
    """A trunk, its projector and its optimiser.

    Parameters
    ----------
    pictures
        Radiographs; some are held out for the probe.
    config
        All settings.

    Attributes
    ----------
    backbone
        Holds the trunk that is trained.
    seen, held_out
        uint8 of shape (N, 1, side, side): what is trained on, and what the probe looks at.
    data_sha256
        Of the radiographs.
    steps_per_epoch
        Each radiograph is seen once in an epoch, but for the rest of a batch.
    """

    def __init__(self, pictures: Pictures, config: PretrainConfig, device: torch.device) -> None:
        super().__init__()
        self._config = config
        self._device = device
        self.data_sha256 = pictures.sha256
        order = torch.randperm(len(pictures.pixels), generator=_stream(config.seed))
        least, most = _PROBED
        n_held_out = min(most, max(least, round(_PROBED_SHARE * len(order))))
        self.held_out, self.seen = (
            pictures.pixels[order[:n_held_out]],
            pictures.pixels[order[n_held_out:]],
        )
        self.steps_per_epoch = len(self.seen) // config.batch_size

        self.backbone = build_backbone(
            config.backbone_config,
            config.view.size,
            file=config.weights_file,
            seed=config.seed,
        )
        self.backbone.trunk.requires_grad_(requires_grad=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.objective = Objective(config.objective, self.backbone.channels[0])
        self.to(device)
        mean, std = imagenet_normalisation(config.backbone)
        self._mean, self._std = (
            torch.tensor(value, device=device)[:, None, None] for value in (mean, std)
        )
        self.optimiser = torch.optim.AdamW(
            self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the data and of all settings: what a checkpoint must agree with."""
        text = f"{__version__} {self.data_sha256} {self._config.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def epoch(self, number: int) -> Iterator[None]:
        """Train for one epoch; yields after each step.

        Raises
        ------
        ConfigError
            The loss is not finite.
        """
        # A stream for each epoch: a resumed run draws what it would have drawn.
        generator = _stream(self._config.seed, number + 1)
        order = torch.randperm(len(self.seen), generator=generator)
        self.backbone.trunk.train()
        for step in range(self.steps_per_epoch):
            batch = order[step * self._config.batch_size :][: self._config.batch_size]
            self._set_learning_rate(number * self.steps_per_epoch + step)
            loss = self._loss(_unit_range(self.seen[batch], self._device), generator)
            _check_finite(loss)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            yield

    def probe(self) -> Probe:
        """Measure the network as it is now; see `training.pretraining.backbone.probe`.

        Raises
        ------
        ConfigError
            Its feature maps are not finite.
        """
        self.backbone.trunk.eval()
        held_out = _unit_range(self.held_out, self._device)
        return probe(self._maps, held_out, self._config.view, self._config.batch_size)

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint must hold, contiguous and on the CPU.

        The optimiser's settings are not part of it: they follow from those of the run.
        """
        state = {f"network.{key}": value for key, value in self.state_dict().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
        return {key: value.cpu().contiguous() for key, value in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` gave.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            It is of another network.
        """
        self.load_state_dict(
            {
                key.removeprefix("network."): state[key]
                for key in state
                if key.startswith("network.")
            }
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for key in state:
            kind, number, name = key.split(".", 2)
            if kind == "optimiser":
                moments.setdefault(int(number), {})[name] = state[key]
        for place, parameter in enumerate(self.parameters()):
            for name, value in moments[place].items():
                if value.shape == parameter.shape:
                    # In the parameter's own layout, so that all is computed as if never left.
                    moments[place][name] = torch.empty_like(parameter).copy_(value)
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def _loss(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, second = draw_views(pictures, self._config.view, generator)
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=multiplies_bf16(self._device)
        ):
            maps = self._maps(torch.cat([first.pixels, second.pixels]))
        loss: Tensor = self.objective(*maps.float().chunk(2), first.frames, second.frames)
        return loss

    def _maps(self, pixels: Tensor) -> Tensor:
        inputs = ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        output = self.backbone.trunk(inputs)[self._config.layer]
        maps = self.backbone.to_nchw(self._config.layer, output)
        _check_finite(maps)
        return maps

    def _set_learning_rate(self, step: int) -> None:
        done = (step + 1) / (self._config.epochs * self.steps_per_epoch)
        if done < _WARM_UP:
            factor = done / _WARM_UP
        else:
            factor = (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self._config.learning_rate * factor


def _unit_range(pixels: Tensor, device: torch.device) -> Tensor:
    return pixels.to(device).float() / 255


def _check_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ConfigError("pretraining diverged: lower learning_rate")


def _stream(seed: int, epoch: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed((seed << 20) + epoch)
