from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.helpers import CPU, RecordingTrack
from training.config import TrainConfig
from training.data.samples import load_samples
from training.methods import authors
from training.methods.authors import MARGIN
from training.methods.fitting import CHECKPOINTS, Fit
from training.methods.settings import AuthorsRecipe
from training.paper.network import Budget
from training.paper.rows import TableName, rows_of
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError
from wscxr.model.heads import Head
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.model.mining import nearest_normal_distance

CHANNELS = 6


def gaussian(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, CHANNELS, generator=torch.Generator().manual_seed(seed))


def normal_set(rows: int = 400, seed: int = 0) -> Tensor:
    """Off the origin, as rectified maps are: what a linear layer without bias needs."""
    return gaussian(rows, seed) + 2


def anomaly_set() -> Tensor:
    """One feature in five lies far off."""
    features = normal_set(100, seed=1)
    features[::5, :3] -= 12
    return features


def fit(seed: int = 0, normal: Tensor | None = None, **changes: Any) -> Fit:
    settings = {"epochs": 30, "batch_size": 64, "learning_rate": 0.01}
    return AuthorsRecipe(**(settings | changes)).fit(
        normal_set() if normal is None else normal, anomaly_set(), seed=seed, device=CPU
    )


def state(found: Fit) -> dict[str, Tensor]:
    return found.head.state_dict()


def same(one: Fit, two: Fit) -> bool:
    first, second = state(one), state(two)
    return all(torch.equal(first[key], second[key]) for key in first)


@torch.no_grad()
def score(found: Fit, features: Tensor) -> Tensor:
    scores: Tensor = found.head(features)
    return scores


def recorded(
    monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[list[tuple[Tensor, Tensor]], Fit]:
    """The batches of a fit, and what it gave."""
    seen: list[tuple[Tensor, Tensor]] = []
    original = authors._batches

    def spy(*arguments: Any) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in original(*arguments):
            seen.append(batch)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(authors, "_batches", spy)
        return seen, fit(**changes)


# --- the head -----------------------------------------------------------------------------------


def test_the_defaults_are_the_authors() -> None:
    recipe = AuthorsRecipe()
    assert (recipe.r, recipe.neighbours, recipe.coreset_ratio) == (0.2, 5, 0.5)
    assert (recipe.epochs, recipe.learning_rate, recipe.weight_decay) == (100, 2e-4, 1e-5)


def test_what_can_be_told_apart_is_learnt() -> None:
    found = fit()
    far = anomaly_set()[::5]
    assert not found.head.training
    assert (score(found, normal_set(300, seed=7)) < 0.5).float().mean() > 0.9
    assert score(found, normal_set(300, seed=7)).median() < 0.1
    assert (score(found, far) > 1).float().mean() > 0.9
    assert 0 <= found.metrics["loss"] < 0.5


def test_the_head_is_one_linear_layer_without_a_bias_of_its_own_on_plain_features() -> None:
    found = fit(epochs=2)
    assert isinstance(found.head, Discriminator)
    assert found.head.config == DiscriminatorConfig(in_features=CHANNELS, hidden=())
    # 0.5 - D, and D is linear: at 0, and additive.
    one, two = gaussian(5, 3), gaussian(5, 4)
    torch.testing.assert_close(score(found, torch.zeros(1, CHANNELS)), torch.tensor([MARGIN]))
    torch.testing.assert_close(
        MARGIN - score(found, one + two), 2 * MARGIN - score(found, one) - score(found, two)
    )
    weight = -state(found)["layers.0.weight"][0]
    torch.testing.assert_close(MARGIN - score(found, one), one @ weight)


def test_the_first_step_is_that_of_the_authors_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """max(0, 0.5 - D(m_n)) + max(0, 0.5 + D(m_a)); the head's weight starts as that of -D."""
    [(m_n, m_a)], found = recorded(monkeypatch, epochs=1, batch_size=400)
    d = -authors._linear_head(CHANNELS, 0).get_parameter("layers.0.weight").detach()[0]
    expected = (0.5 - m_n @ d).clamp(min=0).mean() + (0.5 + m_a @ d).clamp(min=0).mean()
    assert found.metrics["loss"] == pytest.approx(float(expected), rel=1e-5)


# --- mining and mixing --------------------------------------------------------------------------


def batches(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[tuple[Tensor, Tensor]]:
    """What one epoch is made of, with mixing taken out."""
    monkeypatch.setattr(authors, "mix", lambda anomaly, *_: anomaly)
    return recorded(monkeypatch, epochs=1, **changes)[0]


def test_the_far_features_are_mined(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.cat([m_a for _, m_a in batches(monkeypatch)])
    far = anomaly_set()[::5]
    assert (drawn[:, None] == far).all(dim=2).any(dim=1).all()
    assert (drawn[:, None] == far).all(dim=2).any(dim=0).all()


def test_one_near_copy_does_not_hide_a_far_feature_from_five_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eq. 4 throws away an anomaly that one odd normal feature resembles; the mean does not."""
    normal = torch.cat([normal_set(), anomaly_set()[:1]])
    whole = {"normal": normal, "coreset_ratio": 1.0}

    def mined(neighbours: int) -> bool:
        drawn = torch.cat([m_a for _, m_a in batches(monkeypatch, neighbours=neighbours, **whole)])
        return bool((drawn == normal[-1]).all(dim=1).any())

    assert not mined(1)
    assert mined(5)


def test_mining_looks_at_the_share_of_the_normal_set_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Tensor] = []

    def spy(anomaly: Tensor, normal: Tensor, *arguments: Any, **options: Any) -> Tensor:
        seen.append(normal)
        return nearest_normal_distance(anomaly, normal, *arguments, **options)

    monkeypatch.setattr(authors, "nearest_normal_distance", spy)
    fit(epochs=1)
    fit(epochs=1, seed=1)
    fit(epochs=1, coreset_ratio=0.001)
    half, other = seen[:2]
    assert [len(part) for part in seen] == [200, 200, 1]
    assert (half[:, None] == normal_set()).all(dim=2).any(dim=0).sum() == 200
    assert not torch.equal(half, other)


def test_anomaly_features_are_mixed_with_normal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    [(_, m_a)], _ = recorded(monkeypatch, epochs=1, batch_size=400)
    assert not (m_a[:, None] == anomaly_set()).all(dim=2).any()
    # Mean of alpha: 0.55.
    far, near = anomaly_set()[::5, :3].mean(), normal_set()[:, :3].mean()
    torch.testing.assert_close(m_a[:, :3].mean(), torch.lerp(near, far, 0.55), atol=0.5, rtol=0)


def test_an_epoch_sees_each_normal_feature_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [m_n for m_n, _ in batches(monkeypatch)]
    assert [len(part) for part in drawn] == [64] * 6 + [16]
    assert torch.equal(torch.cat(drawn).sort(dim=0)[0], normal_set().sort(dim=0)[0])
    assert not torch.equal(torch.cat(drawn), normal_set())


# --- training -----------------------------------------------------------------------------------


def test_one_seed_gives_one_head_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    one = fit(epochs=2)
    before = torch.random.get_rng_state()
    two = fit(epochs=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(one, two)
    assert one.metrics == two.metrics
    assert not same(one, fit(epochs=2, seed=1))


@pytest.mark.parametrize(
    "change",
    [
        {"r": 0.5},
        {"neighbours": 1, "r": 0.35},
        {"coreset_ratio": 0.25},
        {"epochs": 3},
        {"batch_size": 63},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_every_setting_is_used(change: dict[str, Any]) -> None:
    # Where a third is kept, which features lie far is not the same for one neighbour and for five.
    base: dict[str, Any] = {"epochs": 2, "r": 0.35}
    assert not same(fit(**base), fit(**(base | change)))


def test_checkpoints_tell_of_the_head_and_leave_training_as_it_was() -> None:
    seen: list[Tensor] = []
    probe = anomaly_set()

    @torch.no_grad()
    def look(head: Head) -> None:
        seen.append(head(probe))

    method = AuthorsRecipe(epochs=5, batch_size=64)
    looked = method.fit(normal_set(), anomaly_set(), seed=0, device=CPU, on_checkpoint=look)
    unlooked = method.fit(normal_set(), anomaly_set(), seed=0, device=CPU)
    assert same(looked, unlooked)
    assert len(seen) == CHECKPOINTS
    assert torch.equal(seen[-1], score(looked, probe))
    assert not torch.equal(seen[0], seen[-1])


def test_progress_is_told_of_mining_and_of_each_step() -> None:
    track = RecordingTrack()
    AuthorsRecipe(epochs=2, batch_size=100).fit(
        normal_set(), anomaly_set(), seed=0, device=CPU, track=track
    )
    assert track.seen == track.totals == {"mining": 1, "training the discriminator": 8}


def test_training_that_diverges_is_an_error() -> None:
    with pytest.raises(ConfigError, match="diverged"):
        fit(normal=torch.full((50, CHANNELS), torch.inf), epochs=1)


@pytest.mark.parametrize(
    "settings", [{"coreset_ratio": 0}, {"r": 0}, {"neighbours": 0}, {"batch_size": 0}], ids=str
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuthorsRecipe(**settings)


# --- where it is offered ------------------------------------------------------------------------


def test_it_is_a_method_that_needs_anomaly_images() -> None:
    config = TrainConfig.model_validate({"method": "wscxr-authors", "neighbours": 3})
    assert config.method == AuthorsRecipe(neighbours=3)
    assert config.k == 16
    with pytest.raises(ValidationError, match="wscxr-authors needs anomaly images"):
        TrainConfig.model_validate({"method": "wscxr-authors", "k": 0})


def test_its_bundle_is_like_any_other(phantoms: Path, tmp_path: Path) -> None:
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    settings = {"backbone": "resnet18", "layers": ["layer1"], "weights": "random", "k": 3}
    settings |= {"image_size": 64, "p": 3, "method": "wscxr-authors", "epochs": 2}
    manifest = train(samples, TrainConfig.model_validate(settings), tmp_path / "b", CPU)
    assert (manifest.training.k, manifest.training.method) == (3, "wscxr-authors")
    bundle = Bundle.load(tmp_path / "b", CPU)
    assert isinstance(bundle.detector.head, Discriminator)
    assert "authors' public code" in (tmp_path / "b" / "MODEL_CARD.md").read_text()


def test_it_is_a_row_of_the_first_table_at_each_k() -> None:
    [row] = [row for row in rows_of(TableName.TABLE1, Budget.CPU) if row.name == "authors"]
    assert row.method == AuthorsRecipe()
    assert row.ks == (2, 4, 8, 16)
