"""The positional discriminator: normal at each place, and where an image is unusual."""

import pytest
import torch
from torch import Tensor

from wscxr.positional import PositionalConfig, PositionalDiscriminator

HEIGHT, WIDTH, CHANNELS, RANK = 6, 7, 5, 3


@pytest.fixture
def head() -> PositionalDiscriminator:
    generator = torch.Generator().manual_seed(0)
    made = PositionalConfig(height=HEIGHT, width=WIDTH, in_features=CHANNELS, rank=RANK).build()
    made.mean.copy_(torch.randn(made.mean.shape, generator=generator))
    made.whitening.copy_(torch.randn(made.whitening.shape, generator=generator))
    made.linear.weight.data.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
    made.linear.bias.data.fill_(-0.25)
    return made.eval()


def features(count: int = 4, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, HEIGHT, WIDTH, CHANNELS, generator=generator)


@torch.no_grad()
def test_a_score_is_linear_in_the_deviation_from_the_mean_of_its_place(
    head: PositionalDiscriminator,
) -> None:
    z = features()
    scores = head(z)
    assert scores.shape == (4, HEIGHT, WIDTH)
    x = (z[2, 3, 4] - head.mean[3, 4]) @ head.whitening
    expected = x[0] - 2 * x[1] + 0.5 * x[2] - 0.25
    torch.testing.assert_close(scores[2, 3, 4], expected)


@torch.no_grad()
def test_what_is_normal_at_one_place_is_not_at_another(head: PositionalDiscriminator) -> None:
    normal = head.mean[None]
    torch.testing.assert_close(head(normal), torch.full((1, HEIGHT, WIDTH), -0.25))
    assert not torch.allclose(head(normal.roll(1, dims=1)), head(normal))


@torch.no_grad()
def test_a_map_has_the_score_as_its_mean(head: PositionalDiscriminator) -> None:
    scores = torch.tensor([-1.0, 0.0, 0.5, 3.0])
    maps = head.where(features(), scores)
    assert maps.shape == (4, HEIGHT, WIDTH)
    torch.testing.assert_close(maps.mean(dim=(1, 2)), scores)


@torch.no_grad()
def test_a_map_peaks_where_the_image_is_unusual(head: PositionalDiscriminator) -> None:
    z = head.mean[None].clone()
    z[0, 3, 3] += 10
    spread = head.where(z, torch.zeros(1))[0]
    row, column = divmod(int(spread.argmax()), WIDTH)
    assert abs(row - 3) <= 2
    assert abs(column - 3) <= 2
    assert spread[0, 0] == spread.min()


@torch.no_grad()
def test_unusual_places_weigh_as_their_unit_says(head: PositionalDiscriminator) -> None:
    z = features()
    once = head.where(z, torch.zeros(4))
    head.unit.mul_(2)
    torch.testing.assert_close(head.where(z, torch.zeros(4)), once / 2)


@torch.no_grad()
def test_places_at_the_border_count_for_less(head: PositionalDiscriminator) -> None:
    z = head.mean[None] + 1  # the same deviation everywhere
    unusual = head.unusualness(z)[0]
    assert unusual[0, 0] < unusual[0, 3] < unusual[3, 3]
