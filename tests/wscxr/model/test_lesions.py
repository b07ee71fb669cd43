import numpy as np
import pytest
from numpy.typing import NDArray

from wscxr.model.lesions import (
    LESION_SIDE,
    MAP_SIDE,
    LesionNetwork,
    LesionWitness,
    lesion_map,
    shipped_lesion_network,
)

Values = NDArray[np.float32]


class Logits:
    """Gives one picture of logits, whatever it sees."""

    def __init__(self, logits: Values) -> None:
        self.logits = logits

    def run(self, batch: Values) -> tuple[Values, ...]:
        return (np.broadcast_to(self.logits, batch.shape).astype(np.float32),)


def normals(count: int = 40) -> tuple[Values, Values]:
    rng = np.random.default_rng(0)
    scores = (2 + 3 * rng.standard_normal(count)).astype(np.float32)
    maps = rng.random((count, MAP_SIDE, MAP_SIDE)).astype(np.float32)
    return scores, maps * rng.uniform(0.1, 0.3, (count, 1, 1)).astype(np.float32)


def test_a_lesion_counts_where_there_is_lung() -> None:
    logits = np.full((LESION_SIDE, LESION_SIDE), -100.0, np.float32)
    logits[:8, :8] = logits[64:72, 64:72] = 100
    lungs = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    lungs[16:, 16:] = 1
    frame = np.zeros((LESION_SIDE, LESION_SIDE), np.float32)
    found = lesion_map(Logits(logits), frame, lungs)
    assert found.dtype == np.float32
    assert found[16:18, 16:18] == pytest.approx(1)
    found[16:18, 16:18] = 0
    assert found.max() < 1e-6


def test_witnesses_count_by_their_weight() -> None:
    scores, maps = normals()
    for weight in (0.0, 1.0, 3.0):
        _, joint = LesionWitness.of(weight, scores, maps).join(scores, maps)
        assert joint.mean() == pytest.approx(0, abs=1e-3)
        correlation = np.corrcoef(joint, maps.mean(axis=(1, 2)))[0, 1]
        assert (correlation > 0.5) == (weight >= 1)
    _, alone = LesionWitness.of(0.0, scores, maps).join(scores, maps)
    np.testing.assert_array_equal(np.argsort(alone), np.argsort(scores))


def test_as_many_normal_peaks_as_scores_lie_above_the_threshold() -> None:
    scores, maps = normals(400)
    witness = LesionWitness.of(1.0, scores, maps).scaled(maps, threshold=1.7, false_alarm_rate=0.05)
    shown, _ = witness.join(scores, maps)
    peaks = shown.max(axis=(1, 2))
    assert (peaks > 1.7).mean() == pytest.approx(0.05, abs=0.005)
    assert np.median(peaks) == pytest.approx(0, abs=1e-3)


def test_images_without_any_variation_give_finite_scores() -> None:
    scores, maps = np.zeros(3, np.float32), np.zeros((3, MAP_SIDE, MAP_SIDE), np.float32)
    witness = LesionWitness.of(1.0, scores, maps).scaled(maps, 0.0, 0.05)
    shown, joint = witness.join(scores, maps)
    assert np.isfinite(shown).all()
    assert np.isfinite(joint).all()


def test_the_lesion_network_that_ships_fits_its_shape() -> None:
    network = shipped_lesion_network()
    assert isinstance(network, LesionNetwork)
    assert not network.training
