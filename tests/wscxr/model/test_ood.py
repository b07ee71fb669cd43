import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.helpers import tiny_ood
from wscxr.model.ood import OodConfig, OodScorer, describe


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scorer(rank: int, length: int = 6, seed: int = 0) -> OodScorer:
    """A scorer of some Gaussian, filled by hand."""
    found = OodConfig(in_features=length // 2, rank=rank).build()
    basis = torch.linalg.qr(gaussian(length, length, seed=seed)).Q
    found.mean.copy_(gaussian(length, seed=seed + 1))
    found.scale.copy_(gaussian(length, seed=seed + 2).abs() + 0.5)
    found.directions.copy_(basis[:rank])
    found.eigenvalues.copy_(torch.linspace(3.0, 1.0, rank))
    found.rest.fill_(0.2)
    return found


# --- the descriptor -------------------------------------------------------------------------------


def test_the_descriptor_by_hand() -> None:
    features = torch.tensor([[[[1.0, 5.0], [3.0, 5.0]], [[1.0, 5.0], [3.0, 5.0]]]])
    assert features.shape == (1, 2, 2, 2)
    assert describe(features).tolist() == [[2.0, 5.0, 1.0, 0.0]]


def test_a_map_of_one_position_has_a_descriptor() -> None:
    assert describe(torch.full((2, 1, 1, 3), 4.0)).tolist() == [[4.0] * 3 + [0.0] * 3] * 2


def test_where_a_patch_lies_does_not_matter() -> None:
    features = gaussian(2, 4, 5, 3)
    torch.testing.assert_close(describe(features), describe(features.flip(1, 2)))


# --- the distance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_distance_is_mahalanobis_of_the_covariance_it_stands_for(rank: int) -> None:
    found = scorer(rank)
    directions = found.directions.double()
    outside = torch.eye(6).double() - directions.T @ directions
    covariance = directions.T @ torch.diag(found.eigenvalues.double()) @ directions + 0.2 * outside
    x = gaussian(5, 6, seed=7)
    standardised = ((x - found.mean) / found.scale).double()
    expected = (standardised @ torch.linalg.inv(covariance) * standardised).sum(dim=1).sqrt()
    torch.testing.assert_close(found.distance(x).double(), expected, atol=1e-5, rtol=1e-5)


def test_the_centre_is_at_distance_nothing_and_far_is_far() -> None:
    found = scorer(3)
    away = found.mean + torch.tensor([[0.0], [1.0], [10.0], [1000.0]])
    distances = found.distance(away)
    assert distances[0] == 0
    assert (distances.diff() > 0).all()
    assert distances[3] == pytest.approx(1000 * float(distances[1]), rel=1e-4)


def test_a_score_is_a_distance_in_thresholds() -> None:
    found = scorer(3)
    features = gaussian(4, 3, 3, 3)
    distances = found.distance(describe(features))
    torch.testing.assert_close(found(features), distances)
    found.threshold.fill_(4.0)
    torch.testing.assert_close(found(features), distances / 4)
    assert found(features).shape == (4,)


def test_each_image_has_its_own_score() -> None:
    found = scorer(2)
    features = gaussian(5, 4, 4, 3)
    alone = torch.cat([found(image[None]) for image in features])
    torch.testing.assert_close(found(features), alone)


# --- in the bundle --------------------------------------------------------------------------------


def test_everything_it_knows_is_in_its_tensors() -> None:
    found = scorer(3)
    again = found.config.build()
    again.load_state_dict(found.state_dict())
    features = gaussian(2, 3, 3, 3)
    assert torch.equal(again(features), found(features))
    assert set(found.state_dict()) == {
        *("mean", "scale", "directions", "eigenvalues", "rest", "threshold")
    }
    assert not list(found.parameters())


def test_the_configuration_decides_all_shapes() -> None:
    assert tiny_ood(5).directions.shape == (4, 10)
    with pytest.raises(ValidationError):
        OodConfig(in_features=5, rank=0)
    with pytest.raises(RuntimeError, match="directions"):
        OodConfig(in_features=5, rank=3).build().load_state_dict(tiny_ood(5).state_dict())
