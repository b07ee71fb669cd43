import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig, discriminator_loss

# --- the loss (Eq. 7) ---------------------------------------------------------------------------


def test_loss_by_hand() -> None:
    normal = torch.tensor([-1.0, 0.5, 2.0])
    anomaly = torch.tensor([0.0, 3.0, 0.75])
    # ((0 + 1) + (0.5 + 0) + (2 + 0.25)) / 3
    assert discriminator_loss(normal, anomaly).item() == pytest.approx(3.75 / 3)


def test_no_loss_where_the_margin_is_kept() -> None:
    assert discriminator_loss(torch.tensor([0.0, -5.0]), torch.tensor([1.0, 9.0])).item() == 0.0


@given(
    st.lists(
        st.tuples(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32)), min_size=1, max_size=20
    )
)
def test_loss_is_the_mean_over_pairs(pairs: list[tuple[float, float]]) -> None:
    normal, anomaly = (torch.tensor(scores) for scores in zip(*pairs, strict=True))
    expected = sum(max(0.0, n) + max(0.0, 1 - a) for n, a in pairs) / len(pairs)
    assert discriminator_loss(normal, anomaly).item() == pytest.approx(expected, abs=1e-5)


def test_loss_pulls_normals_down_and_anomalies_up() -> None:
    normal = torch.tensor([0.5, -0.5], requires_grad=True)
    anomaly = torch.tensor([0.5, 1.5], requires_grad=True)
    torch.autograd.backward(discriminator_loss(normal, anomaly))
    assert normal.grad is not None
    assert normal.grad.tolist() == [0.5, 0.0]
    assert anomaly.grad is not None
    assert anomaly.grad.tolist() == [-0.5, 0.0]


# --- the network --------------------------------------------------------------------------------


def linear(weights: list[float], bias: float) -> Discriminator:
    """A linear discriminator with known weights."""
    discriminator = Discriminator(DiscriminatorConfig(in_features=len(weights), hidden=()))
    [layer] = discriminator.layers
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights]))
        layer.bias.fill_(bias)
    return discriminator


def test_scores_by_hand() -> None:
    discriminator = linear([2.0, -1.0], 0.5)
    discriminator.standardise_by(torch.tensor([1.0, 10.0]), torch.tensor([2.0, 5.0]))
    # 2 * (5 - 1) / 2 - (20 - 10) / 5 + 0.5
    assert discriminator(torch.tensor([5.0, 20.0])).item() == pytest.approx(2.5)


def test_leading_dimensions_are_kept() -> None:
    discriminator = Discriminator(DiscriminatorConfig(in_features=6, hidden=(4, 3)))
    for shape in [(), (7,), (2, 5, 3)]:
        assert discriminator(torch.randn(*shape, 6)).shape == shape
    features = torch.randn(2, 5, 3, 6)
    torch.testing.assert_close(discriminator(features)[1, 4, 2], discriminator(features[1, 4, 2]))


@pytest.mark.parametrize(
    ("hidden", "parameters"), [((), 4 + 1), ((8,), 4 * 8 + 8 + 8 + 1), ((3, 2), 15 + 8 + 3)]
)
def test_hidden_widths_make_the_network(hidden: tuple[int, ...], parameters: int) -> None:
    discriminator = Discriminator(DiscriminatorConfig(in_features=4, hidden=hidden))
    assert sum(p.numel() for p in discriminator.parameters()) == parameters


def test_hidden_layers_are_not_linear() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorConfig(in_features=2, hidden=(16,)))
    x = torch.tensor([3.0, -2.0])
    origin = discriminator(torch.zeros(2))
    odd = discriminator(x) + discriminator(-x) - 2 * origin
    assert abs(odd.item()) > 1e-3


def test_statistics_travel_with_the_weights_and_are_not_trained() -> None:
    discriminator = Discriminator(DiscriminatorConfig(in_features=2))
    assert {"mean", "scale"} <= discriminator.state_dict().keys()
    assert {"mean", "scale"}.isdisjoint(dict(discriminator.named_parameters()))


def test_dead_channels_are_left_out_of_the_score() -> None:
    discriminator = linear([1.0, 1.0], 0.0)
    discriminator.standardise_by(torch.tensor([0.0, 7.0]), torch.tensor([2.0, 0.0]))
    assert discriminator(torch.tensor([4.0, 7.0])).item() == 2.0
    assert discriminator(torch.tensor([4.0, 1e9])).item() == 2.0


def test_a_weak_but_living_channel_counts_as_much_as_a_strong_one() -> None:
    discriminator = linear([1.0, 1.0], 0.0)
    discriminator.standardise_by(torch.zeros(2), torch.tensor([100.0, 1.0]))
    assert discriminator(torch.tensor([0.0, 3.0])).item() == pytest.approx(3.0)


@given(
    std=st.lists(st.floats(0, 1e6, width=32), min_size=3, max_size=3),
    features=st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3),
)
def test_scores_are_finite_whatever_the_statistics(std: list[float], features: list[float]) -> None:
    discriminator = linear([1.0, 1.0, 1.0], 0.0)
    discriminator.standardise_by(torch.zeros(3), torch.tensor(std))
    assert math.isfinite(discriminator(torch.tensor(features)).item())


@pytest.mark.parametrize("bad", [{"in_features": 0}, {"hidden": (0,)}, {"width": 3}])
def test_impossible_shapes_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DiscriminatorConfig.model_validate({"in_features": 4} | bad)
