import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import SIZE, random_backbone, tiny_detector
from wscxr.choices import ScoreRule
from wscxr.model.detector import image_score
from wscxr.model.patches import patch_features


def inputs(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


# --- image_score (Eq. 8) ------------------------------------------------------------------------


def test_rules_by_hand() -> None:
    maps = torch.arange(20.0).view(1, 4, 5)
    assert image_score(maps, ScoreRule.MAX).tolist() == [19.0]
    assert image_score(maps, ScoreRule.TOP_TENTH).tolist() == [18.5]
    assert image_score(maps, ScoreRule.MEAN).tolist() == [9.5]


def test_the_largest_tenth_is_at_least_one_position() -> None:
    maps = torch.tensor([[[1.0, 5.0], [2.0, 3.0]]])
    assert image_score(maps, ScoreRule.TOP_TENTH).tolist() == [5.0]


@pytest.mark.parametrize("rule", ScoreRule)
def test_each_image_has_its_own_score(rule: ScoreRule) -> None:
    maps = torch.randn(4, 6, 5)
    scores = image_score(maps, rule)
    assert scores.shape == (4,)
    for number in range(4):
        torch.testing.assert_close(
            scores[number : number + 1], image_score(maps[number : number + 1], rule)
        )


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_mean_is_at_most_top_tenth_is_at_most_max(values: list[float]) -> None:
    maps = torch.tensor(values).view(1, 1, -1)
    mean, top, largest = (
        image_score(maps, rule).item()
        for rule in (ScoreRule.MEAN, ScoreRule.TOP_TENTH, ScoreRule.MAX)
    )
    assert mean <= top + 1e-4
    assert top <= largest + 1e-4
    assert largest == max(values)


# --- Detector -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ScoreRule)
def test_detecting_is_scoring_the_features(rule: ScoreRule) -> None:
    detector = tiny_detector(rule=rule)
    images = inputs(3)
    maps, scores = detector.detect(images)
    same_maps, same_scores = detector.detect_features(detector.features(images))
    assert torch.equal(maps, same_maps)
    assert torch.equal(scores, same_scores)
    assert torch.equal(scores, image_score(maps, rule))


def test_the_map_is_the_discriminator_at_every_position() -> None:
    detector = tiny_detector()
    images = inputs(2)
    features = detector.features(images)
    assert torch.equal(features, patch_features(random_backbone()(images), 3))
    assert features.shape == (2, 16, 16, 64)
    maps, _ = detector.detect(images)
    assert maps.shape == (2, 16, 16)
    for b, h, w in [(0, 0, 0), (1, 3, 12), (1, 15, 15)]:
        torch.testing.assert_close(maps[b, h, w], detector.head(features[b, h, w]))


def test_batch_size_and_order_change_nothing() -> None:
    detector = tiny_detector()
    images = inputs(5)
    maps, scores = detector.detect(images)
    alone = torch.cat([detector.detect(image[None])[0] for image in images])
    torch.testing.assert_close(maps, alone, rtol=0, atol=1e-4)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(detector.detect(images[order])[1], scores[order], rtol=0, atol=1e-4)


def test_nothing_is_trained_by_detecting() -> None:
    detector = tiny_detector()
    assert not detector.head.training
    maps, scores = detector.detect(inputs(1))
    assert not maps.requires_grad
    assert not scores.requires_grad
