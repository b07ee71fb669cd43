from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.helpers import CPU, RecordingTrack
from training.methods.fitting import checkpoint_steps
from training.paper.cutpaste import (
    CutPaste,
    jitter,
    paste_patch,
    paste_scar,
    three_views,
    translate,
)
from training.paper.network import Budget, ImageScorer
from wscxr.errors import ConfigError
from wscxr.imaging import InputConfig, read_radiograph, to_model_input

SIDE = 32
NOTHING = torch.empty(0, 1, SIDE, SIDE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, side: int = SIDE, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, side, side, generator=generator(seed))


def load(folder: Path) -> Tensor:
    config = InputConfig(size=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    paths = sorted(folder.glob("*.png"))
    return torch.stack(
        [to_model_input(read_radiograph(path.read_bytes()), config)[:1] for path in paths]
    )


def tiny(steps: int = 3) -> CutPaste:
    return CutPaste(size=SIDE, steps=steps, batch_size=4)


# --- the pretext task ---------------------------------------------------------------------------


def test_every_image_comes_in_three_views_of_three_classes() -> None:
    views, classes = three_views(noise(5), generator())
    assert views.shape == (15, 1, SIDE, SIDE)
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1
    assert classes.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    normal, patch, scar = views.chunk(3)
    for pasted in (patch, scar):
        changed = (pasted != normal).flatten(1).any(1)
        assert changed.all()


def test_the_views_are_those_of_the_seed() -> None:
    one, two, other = (three_views(noise(3), generator(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def changed_boxes(images: Tensor, pasted: Tensor) -> Tensor:
    """Height, width and number of the pixels that changed: shape (B, 3)."""
    found = []
    for changed in (images != pasted).squeeze(1):
        rows, columns = changed.nonzero(as_tuple=True)
        height, width = (int(part.max() - part.min()) + 1 for part in (rows, columns))
        found.append((height, width, int(changed.sum())))
    return torch.tensor(found)


def test_a_patch_is_an_upright_rectangle_of_the_papers_sizes() -> None:
    side = 128
    images = noise(300, side)
    height, width, count = changed_boxes(images, paste_patch(images, generator())).T
    assert torch.equal(height * width, count)
    share = count / side**2
    # An edge falls on whole pixels, so a size may be one pixel off.
    assert share.min() > 0.015
    assert share.min() < 0.03
    assert share.max() < 0.16
    assert share.max() > 0.13
    aspect = height / width
    assert aspect.min() > 0.26
    assert aspect.max() < 3.7
    assert 0.4 < (aspect < 1).float().mean() < 0.6


def test_a_patch_shows_another_place_of_its_image() -> None:
    [image] = noise(1, 64)
    pasted = paste_patch(image[None], generator())[0]
    rows, columns = (image != pasted)[0].nonzero(as_tuple=True)
    patch = pasted[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    places = functional.unfold(image[None], patch.shape[-2:])[0].T
    # Jitter changes brightness and contrast, which no correlation sees.
    table = torch.cat([patch.reshape(1, -1), places])
    correlation = torch.corrcoef(table)[0, 1:]
    assert correlation.max() > 0.99


@pytest.mark.parametrize(("side", "shortest", "longest"), [(256, 10, 25), (128, 5, 12.5)])
def test_a_scar_is_small_turned_and_in_proportion(
    side: int, shortest: float, longest: float
) -> None:
    images = noise(120, side)
    height, width, count = changed_boxes(images, paste_scar(images, generator())).T
    diagonal = (longest**2 + (longest * 16 / 25) ** 2) ** 0.5
    assert max(height.max(), width.max()) < diagonal + 2
    assert count.max() < longest * longest * 16 / 25 * 1.2
    assert count.max() > longest * longest * 16 / 25 * 0.6
    assert count.min() < shortest * longest / 2
    # What is turned does not fill the box around it.
    assert (height * width > 1.3 * count).float().mean() > 0.5


@pytest.mark.parametrize("side", [32, 64])
def test_in_small_images_no_scar_is_lost(side: int) -> None:
    images = noise(500, side)
    pasted = paste_scar(images, generator())
    assert (images != pasted).flatten(1).any(1).all()


def test_a_translated_image_is_the_image_moved_by_whole_pixels() -> None:
    images = noise(40)
    moved = translate(images, generator())
    most = SIDE // 16
    padded = functional.pad(images, (most,) * 4, mode="replicate")
    shifts = [
        (down, right)
        for image, wide in zip(moved, padded, strict=True)
        for down in range(2 * most + 1)
        for right in range(2 * most + 1)
        if torch.equal(image, wide[:, down : down + SIDE, right : right + SIDE])
    ]
    assert len(shifts) == len(images)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(5))


def test_jitter_scales_and_stretches_about_the_mean_of_the_region() -> None:
    images = 0.4 + 0.2 * noise(50)
    region = torch.zeros_like(images)
    region[..., :8, :8] = 1
    images[..., 8:, :] = 0.5
    jittered = jitter(images, region, generator())
    inside = jittered[..., :8, :8].mean((1, 2, 3)) / images[..., :8, :8].mean((1, 2, 3))
    stretch = jittered[..., :8, :8].std((1, 2, 3)) / images[..., :8, :8].std((1, 2, 3))
    assert (inside - 1).abs().max() < 0.101
    assert (inside - 1).abs().max() > 0.08
    contrast = stretch / inside
    assert (contrast - 1).abs().max() < 0.101
    assert (contrast - 1).abs().max() > 0.08


# --- the method ---------------------------------------------------------------------------------


def test_the_classes_are_learnt_and_what_is_far_from_normal_scores_higher(
    monkeypatch: pytest.MonkeyPatch, phantoms: Path, unseen: Path
) -> None:
    losses: list[float] = []
    cross_entropy = functional.cross_entropy

    def listen(logits: Tensor, classes: Tensor) -> Tensor:
        loss = cross_entropy(logits, classes)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(functional, "cross_entropy", listen)
    settings = CutPaste(size=SIDE, steps=20, batch_size=8)
    scorer = settings.fit(load(phantoms / "normal"), NOTHING, seed=0, device=CPU)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    normal = load(unseen / "normal")
    scores, far = scorer(normal), scorer(1 - normal)
    assert scores.shape == (5,)
    assert scores.dtype == torch.float32
    assert scores.min() >= 0
    assert far.min() > scores.max()


@pytest.fixture(scope="module")
def plain() -> ImageScorer:
    """Trained with seed 0 on twelve images."""
    return tiny().fit(noise(12), NOTHING, seed=0, device=CPU)


def test_one_seed_gives_one_set_of_scores_and_leaves_the_global_state_alone(
    plain: ImageScorer,
) -> None:
    state = torch.get_rng_state()
    same, other = (
        tiny().fit(noise(12), NOTHING, seed=seed, device=CPU)(noise(4, seed=9)) for seed in (0, 1)
    )
    one = plain(noise(4, seed=9))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_images_score_does_not_depend_on_those_beside_it(plain: ImageScorer) -> None:
    images = noise(4, seed=9)
    together, alone = plain(images), torch.cat([plain(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


def test_looking_at_checkpoints_changes_nothing_and_each_stays_as_it_was(
    plain: ImageScorer,
) -> None:
    seen: list[ImageScorer] = []
    scores: list[Tensor] = []
    probe = noise(4, seed=9)

    def look(scorer: ImageScorer) -> None:
        seen.append(scorer)
        scores.append(scorer(probe))

    settings = tiny()
    looked = settings.fit(noise(12), NOTHING, seed=0, device=CPU, on_checkpoint=look)
    assert len(seen) == len(checkpoint_steps(settings.steps))
    assert torch.equal(looked(probe), plain(probe))
    assert torch.equal(scores[-1], plain(probe))
    assert not torch.equal(scores[0], scores[-1])
    assert all(torch.equal(a(probe), b) for a, b in zip(seen, scores, strict=True))


def test_every_step_is_tracked() -> None:
    track = RecordingTrack()
    tiny().fit(noise(6), NOTHING, seed=0, device=CPU, track=track)
    assert track.seen == track.totals == {"training CutPaste": 3}


def test_divergence_stops_training_at_once() -> None:
    track = RecordingTrack()
    settings = tiny(10).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ConfigError, match="diverged"):
        settings.fit(noise(12), NOTHING, seed=0, device=CPU, track=track)
    assert track.seen["training CutPaste"] < 5


def test_divergence_in_the_last_step_is_told() -> None:
    settings = tiny(1).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ConfigError, match="diverged"):
        settings.fit(noise(12), NOTHING, seed=0, device=CPU)


def test_the_full_budget_is_the_papers() -> None:
    full, cpu = CutPaste.within(Budget.FULL), CutPaste.within(Budget.CPU)
    assert (full.size, full.steps, full.batch_size, full.learning_rate) == (256, 65536, 32, 0.03)
    assert cpu.size < full.size
    assert cpu.steps < full.steps
    assert not CutPaste.uses_anomalies
