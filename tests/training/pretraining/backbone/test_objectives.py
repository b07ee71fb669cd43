import pytest
import torch
from torch import Tensor

from tests.helpers import gaussian
from training.pretraining.backbone.config import ObjectiveName
from training.pretraining.backbone.objectives import Objective, matched_patches, vicreg

WHOLE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
CHANNELS = 5


def frames(count: int, frame: Tensor = WHOLE) -> Tensor:
    return frame.expand(count, -1, -1)


def objective(name: ObjectiveName) -> Objective:
    torch.manual_seed(0)
    return Objective(name, CHANNELS)


def orthogonal() -> Tensor:
    """Embeddings of variance above 1 and no covariance: nothing is wrong with them."""
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    hadamard = torch.kron(torch.kron(two, two), two)
    return 2 * hadamard[:, 1:5]


# --- VICReg -------------------------------------------------------------------------------------


def reference(first: Tensor, second: Tensor) -> float:
    """Equations 1 to 6 of the paper, element by element."""
    n, d = first.shape
    invariance = sum(float(((a - b) ** 2).sum()) for a, b in zip(first, second, strict=True)) / n
    total = 25 * invariance / d
    for z in (first.double(), second.double()):
        mean = z.sum(dim=0) / n
        covariance = torch.zeros(d, d, dtype=torch.float64)
        for row in z:
            covariance += torch.outer(row - mean, row - mean) / (n - 1)
        for i in range(d):
            deviation = float(covariance[i, i] + 1e-4) ** 0.5
            total += 25 * max(0.0, 1 - deviation) / d
            total += sum(float(covariance[i, j]) ** 2 for j in range(d) if j != i) / d
    return total


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_vicreg_is_that_of_the_paper(scale: float) -> None:
    first, second = scale * gaussian(7, 4) + 2, scale * gaussian(7, 4, seed=1)
    assert float(vicreg(first, second)) == pytest.approx(reference(first, second), rel=1e-4)


def test_invariance_is_all_that_is_left_of_good_embeddings() -> None:
    assert float(vicreg(orthogonal(), orthogonal())) == pytest.approx(0, abs=1e-5)
    apart = vicreg(orthogonal(), orthogonal() + 0.5)
    assert float(apart) == pytest.approx(25 * 0.25, rel=1e-5)


def test_embeddings_without_variance_are_punished() -> None:
    constant = torch.ones(6, 3)
    # The deviation is the root of the 1e-4 that is added to the variance.
    assert float(vicreg(constant, constant)) == pytest.approx(2 * 25 * 0.99, rel=1e-4)
    # Above 1 there is nothing to gain.
    assert float(vicreg(3 * orthogonal(), 3 * orthogonal())) == pytest.approx(0, abs=1e-4)


def test_channels_that_say_the_same_are_punished() -> None:
    twice = orthogonal()[:, [0, 0]]
    variance = float(twice[:, 0].var())
    assert float(vicreg(twice, twice)) == pytest.approx(2 * 2 * variance**2 / 2, rel=1e-4)


# --- matched patches ----------------------------------------------------------------------------


def test_views_of_one_frame_match_patch_by_patch() -> None:
    first, second = gaussian(3, CHANNELS, 4, 4), gaussian(3, CHANNELS, 4, 4, seed=1)
    turned = torch.tensor([[0.5, -0.2, 0.1], [0.2, 0.6, -0.3]])
    for frame in (WHOLE, turned):
        here, there = matched_patches(first, second, frames(3, frame), frames(3, frame))
        assert torch.equal(here, first.permute(0, 2, 3, 1).flatten(0, 2))
        torch.testing.assert_close(
            there, second.permute(0, 2, 3, 1).flatten(0, 2), atol=1e-5, rtol=1e-5
        )


def test_only_what_the_second_view_shows_is_matched() -> None:
    """The second view is the left half: 2 x 4 patches of the first."""
    maps = gaussian(1, CHANNELS, 4, 4)
    left = torch.tensor([[0.5, 0.0, -0.5], [0.0, 1.0, 0.0]])
    here, there = matched_patches(maps, maps, frames(1), frames(1, left))
    assert torch.equal(here, maps[0, :, :, :2].permute(1, 2, 0).flatten(0, 1))
    assert there.shape == here.shape
    # Between two columns of the second view lies a patch of the first.
    torch.testing.assert_close(there[0], maps[0, :, 0, :2].mean(dim=1))


def test_a_mirrored_view_is_matched_mirrored() -> None:
    maps = gaussian(1, CHANNELS, 3, 3)
    mirrored = WHOLE * torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    here, there = matched_patches(maps, maps.flip(3), frames(1), frames(1, mirrored))
    torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)


# --- objectives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ObjectiveName))
def test_gradients_reach_the_trunk_through_both_views(name: ObjectiveName) -> None:
    first = gaussian(4, CHANNELS, 3, 3).requires_grad_()
    second = gaussian(4, CHANNELS, 3, 3, seed=1).requires_grad_()
    found = objective(name)
    torch.autograd.backward(found(first, second, frames(4), frames(4)))
    for leaf in (first, second, *found.parameters()):
        assert leaf.grad is not None
        assert leaf.grad.abs().max() > 0


@torch.no_grad()
def test_both_is_the_sum_of_the_two() -> None:
    maps = (gaussian(4, CHANNELS, 3, 3), gaussian(4, CHANNELS, 3, 3, seed=1))
    both = objective(ObjectiveName.BOTH)
    parts = 0.0
    for name in (ObjectiveName.GLOBAL, ObjectiveName.DENSE):
        part = objective(name)
        part.load_state_dict({key: both.state_dict()[key] for key in part.state_dict()})
        parts += float(part(*maps, frames(4), frames(4)))
    assert float(both(*maps, frames(4), frames(4))) == pytest.approx(parts, rel=1e-5)
