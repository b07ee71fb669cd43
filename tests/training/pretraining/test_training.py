from pathlib import Path

import pytest
import torch

from tests.helpers import CPU
from tests.training.pretraining.runs import STEPS, config
from training.pretraining.backbone.training import Training
from training.pretraining.backbone.views import Pictures
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
