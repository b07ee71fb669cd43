from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import CPU, gaussian
from tests.training.pretraining.backbone.runs import STEPS, config
from training.pretraining.backbone import training as module
from training.pretraining.backbone.config import RandomView
from training.pretraining.backbone.training import Training, effective_rank, probe
from training.pretraining.backbone.views import Pictures, Views
from wscxr.errors import ConfigError, WeightsError


def pictures(count: int) -> Pictures:
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
    return Pictures(pixels.expand(-1, 1, 48, 48), "0" * 64)


def training(count: int = 12, **changes: object) -> Training:
    return Training(pictures(count), config(**changes), CPU)


@pytest.mark.parametrize(("count", "held_out"), [(12, 2), (100, 5), (200, 10)])
def test_some_radiographs_are_held_out(count: int, held_out: int) -> None:
    made = training(count)
    assert (len(made.held_out), len(made.seen)) == (held_out, count - held_out)
    numbers = torch.cat([made.held_out, made.seen])[:, 0, 0, 0]
    assert numbers.sort()[0].tolist() == list(range(count))
    assert made.steps_per_epoch == (count - held_out) // 4
    assert not torch.equal(training(count, seed=1).held_out, made.held_out)


def test_the_rate_rises_then_falls_to_nothing() -> None:
    """100 radiographs, 23 steps of an epoch, ten epochs."""
    made = training(100, epochs=10)
    rates = []
    for step in range(10 * 23):
        made._set_learning_rate(step)
        rates.append(made.optimiser.param_groups[0]["lr"])
    peak = rates.index(max(rates))
    assert peak == 22
    assert max(rates) == pytest.approx(made._config.learning_rate)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_the_probe_leaves_the_network_as_it_was() -> None:
    made = training()
    for _ in made.epoch(0):
        pass
    before = {key: value.clone() for key, value in made.state().items()}
    assert made.probe() == made.probe()
    assert all(torch.equal(value, before[key]) for key, value in made.state().items())


def test_a_state_is_taken_up_whole() -> None:
    one, two = training(), training(seed=1)
    assert sum(1 for _ in one.epoch(0)) == STEPS
    two.restore(one.state())
    restored, state = two.state(), one.state()
    assert restored.keys() == state.keys()
    assert any(key.startswith("optimiser.") for key in state)
    assert all(torch.equal(restored[key], state[key]) for key in state)


def test_the_fingerprint_is_of_data_and_settings() -> None:
    one = training()
    assert training().fingerprint == one.fingerprint
    assert training(seed=1).fingerprint != one.fingerprint
    other = Training(Pictures(pictures(12).pixels, "1" * 64), config(), CPU)
    assert other.fingerprint != one.fingerprint


def test_a_backbone_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no layer layer9"):
        training(layer="layer9")
    (tmp_path / "w.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError):
        training(weights=str(tmp_path / "w.safetensors"))


VIEW = RandomView(size=32)


def images(count: int = 9) -> Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(0))


# --- effective rank -----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_all_directions_alike_have_the_rank_of_the_channels(channels: int) -> None:
    assert effective_rank(gaussian(5000, channels)) == pytest.approx(channels, rel=0.02)


def test_one_direction_has_rank_one_wherever_it_lies() -> None:
    line = gaussian(500, 1) @ gaussian(1, 8, seed=1) + 100
    assert effective_rank(line) == pytest.approx(1, abs=0.02)
    assert effective_rank(torch.ones(20, 8)) == 1
    assert effective_rank(torch.cat([line, line + gaussian(500, 8, seed=2)])) > 1.5


def test_the_rank_is_the_exponential_of_an_entropy() -> None:
    """Singular values 3 : 1, so shares 0.75 and 0.25."""
    features = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    expected = 0.75**-0.75 * 0.25**-0.25
    assert effective_rank(features) == pytest.approx(expected, rel=1e-5)
    assert effective_rank(7 * features + 5) == pytest.approx(expected, rel=1e-5)


# --- the probe ----------------------------------------------------------------------------------


def as_channels(pixels: Tensor) -> Tensor:
    """A network that forgets nothing: each pixel is a channel of its only patch."""
    return pixels.flatten(1)[:, :, None, None]


def alike(batch: Tensor, _view: RandomView, _generator: torch.Generator) -> tuple[Views, Views]:
    frames = torch.eye(2, 3).expand(len(batch), -1, -1)
    return Views(batch, frames), Views(0.9 * batch, frames)


def test_what_tells_radiographs_apart_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_views", alike)
    found = probe(as_channels, images(), VIEW, batch_size=4)
    assert (found.retrieval, found.images) == (1.0, 9)
    # Nine directions at most, the mean taken out.
    assert 7 < found.rank < 9


def test_a_collapsed_network_guesses() -> None:
    found = probe(lambda pixels: torch.ones(len(pixels), 4, 2, 2), images(), VIEW, batch_size=4)
    assert found.retrieval == pytest.approx(1 / 9)
    assert found.rank == 1


def test_the_views_are_always_the_same_ones() -> None:
    def trunk(pixels: Tensor) -> Tensor:
        return torch.cat([pixels, pixels.square(), pixels.roll(3, dims=2) * pixels], dim=1)

    one = probe(trunk, images(), VIEW, batch_size=4)
    torch.manual_seed(5)
    torch.rand(3)
    assert probe(trunk, images(), VIEW, batch_size=4) == one
    assert 1 <= one.rank <= 3
    assert one != probe(trunk, images(), RandomView(size=48), batch_size=4)


def test_no_gradient_is_kept() -> None:
    scale = torch.ones((), requires_grad=True)
    seen: list[Tensor] = []

    def trunk(pixels: Tensor) -> Tensor:
        seen.append(as_channels(pixels) * scale)
        return seen[-1]

    probe(trunk, images(2), VIEW, batch_size=4)
    assert not any(maps.requires_grad for maps in seen)
