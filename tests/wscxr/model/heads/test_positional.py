"""The positional discriminator: normal at each place, and where an image is unusual."""

import pytest
import torch
from torch import Tensor

from wscxr.model.heads.positional import PositionalConfig, PositionalDiscriminator, log_distance

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


def shown(head: PositionalDiscriminator, z: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    return head.anomaly_maps(z, head(z), scores)


@torch.no_grad()
def test_what_is_usual_lies_at_the_score(head: PositionalDiscriminator) -> None:
    """But for the border, whose places count for less."""
    head.usual.copy_(log_distance(head.whiten(features()))[0])
    scores = torch.tensor([-1.0, 0.0, 0.5, 3.0])
    maps = shown(head, features()[:1].expand(4, -1, -1, -1), scores)
    torch.testing.assert_close(maps[:, 2:-2, 2:-2], scores[:, None, None].expand(4, 2, 3))
    torch.testing.assert_close(maps[:, 0, 0], scores + 9 / 25 - 1)


@torch.no_grad()
def test_a_map_peaks_where_the_image_is_unusual(head: PositionalDiscriminator) -> None:
    z = head.mean[None].clone()
    z[0, 3, 3] += 10
    row, column = divmod(int(shown(head, z, torch.zeros(1))[0].argmax()), WIDTH)
    assert abs(row - 3) <= 1
    assert abs(column - 3) <= 1


@torch.no_grad()
def test_a_place_is_told_in_its_own_standard_deviations(head: PositionalDiscriminator) -> None:
    z = features()
    once = shown(head, z, torch.zeros(4)) + 1
    head.usual.sub_(1)
    head.spread.fill_(0.5)
    # (u + 1) / 0.5 + 1 = 2 u + 3, where it was u + 1.
    torch.testing.assert_close(
        (shown(head, z, torch.zeros(4)) + 1)[:, 2:-2, 2:-2], (2 * once + 1)[:, 2:-2, 2:-2]
    )


@torch.no_grad()
def test_the_prior_adds_how_unusual_the_whole_image_is(head: PositionalDiscriminator) -> None:
    z = features()
    learned, unusual = head(z), head.unusualness(z).mean(dim=(1, 2))
    head.prior.fill_(0.5)
    torch.testing.assert_close(head(z), learned + 0.5 * unusual[:, None, None])
