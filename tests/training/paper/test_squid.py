from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers import CPU, RecordingTrack
from training.methods.fitting import CHECKPOINTS
from training.paper.network import Budget, ImageScorer
from training.paper.squid import Squid
from training.paper.squid.learning import (
    RealismScorer,
    Trainer,
    critic_loss,
    evaluating,
    generator_loss,
    shift_and_zoom,
)
from training.paper.squid.memory import (
    KEPT,
    InpaintingBlock,
    MaskedShortcut,
    MemoryMatrix,
    MemoryQueue,
    cut,
    gumbel_shrinkage,
    join,
    neighbours,
)
from training.paper.squid.networks import Critic, Generator, Rebuilt
from wscxr.device import one_thread
from wscxr.errors import ConfigError

T = TypeVar("T")

SIZE = 64
WIDTH = 4
SLOTS = 6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures in [0, 1]."""
    coarse = torch.rand(count, 1, 8, 8, generator=seeded(seed))
    return functional.interpolate(coarse, size=SIZE, mode="bilinear")


NORMAL = images(3)


def networks(seed: int = 0) -> tuple[Generator, Critic]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(SIZE, WIDTH, SLOTS, seeded(seed)), Critic(WIDTH, SIZE)


@pytest.fixture(scope="module")
def trained() -> tuple[Generator, Critic]:
    """Networks that learnt enough for their answers to differ from image to image."""
    generator, critic = networks()
    trainer = Trainer(generator, critic, 3e-3, 50)
    for _ in range(50):
        trainer.step(NORMAL)
    return generator, critic


def squid(**changes: Any) -> Squid:
    tiny = {"size": SIZE, "width": WIDTH, "slots": SLOTS, "steps": 3, "batch_size": 2}
    return Squid(**(tiny | changes))


def fit(seed: int = 0, **changes: Any) -> ImageScorer:
    return squid(**changes).fit(images(5), images(0), seed=seed, device=CPU)


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


# --- patches ------------------------------------------------------------------------------------


def test_patches_follow_each_other_row_by_row() -> None:
    maps = torch.arange(2 * 16.0).reshape(2, 1, 4, 4)
    patches = cut(maps, 2)
    assert patches.shape == (8, 1, 2, 2)
    assert patches[1].flatten().tolist() == [2, 3, 6, 7]
    assert patches[2].flatten().tolist() == [8, 9, 12, 13]
    assert patches[4].flatten().tolist() == [16, 17, 20, 21]


@settings(max_examples=20, deadline=None)
@given(*(st.integers(1, 3) for _ in range(5)))
def test_what_was_cut_is_joined_again(b: int, c: int, side: int, h: int, w: int) -> None:
    maps = torch.rand(b, c, side * h, side * w, generator=seeded())
    assert torch.equal(join(cut(maps, side), side), maps)


def test_neighbours_are_those_around_but_not_the_patch_itself() -> None:
    features = torch.arange(1.0, 10.0).reshape(1, 9, 1).repeat(1, 1, 2)
    around = neighbours(features, 3)
    assert around.shape == (1, 9, 8, 2)
    assert around[0, 4, :, 1].tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert around[0, 0, :, 0].tolist() == [0, 0, 0, 0, 2, 0, 4, 5]


# --- memories -----------------------------------------------------------------------------------


def test_shrinkage_keeps_the_nearest_patterns_in_their_proportions() -> None:
    similarity = torch.randn(7, 12, generator=seeded())
    kept = gumbel_shrinkage(similarity, 3)
    torch.testing.assert_close(kept.sum(dim=1), torch.ones(7))
    for row, soft in zip(kept, similarity.softmax(dim=1), strict=True):
        where = soft.topk(3).indices
        assert set(row.nonzero().flatten().tolist()) == set(where.tolist())
        torch.testing.assert_close(row[where], soft[where] / soft[where].sum())


def test_shrinkage_passes_the_gradient_of_the_softmax() -> None:
    similarity = torch.randn(4, 9, generator=seeded(), requires_grad=True)
    towards = torch.randn(4, 9, generator=seeded(1))
    (found,) = torch.autograd.grad((gumbel_shrinkage(similarity, 2) * towards).sum(), similarity)
    (soft,) = torch.autograd.grad((similarity.softmax(dim=1) * towards).sum(), similarity)
    torch.testing.assert_close(found, soft)
    assert (found != 0).all()


def numbered(first: int, count: int) -> Tensor:
    """Features of two places that say their number; negative at the second place."""
    numbers = torch.arange(first, first + count, dtype=torch.float32).reshape(-1, 1, 1)
    return torch.cat([numbers, -numbers], dim=1).repeat(1, 1, 3)


def test_the_queue_forgets_the_oldest_first() -> None:
    queue = MemoryQueue(places=2, slots=5, width=3)
    queue.enqueue(numbered(1, 3))
    assert queue.patterns[0, :3, 0].tolist() == [1, 2, 3]
    queue.enqueue(numbered(4, 3))
    assert queue.patterns[0, :, 0].tolist() == [6, 2, 3, 4, 5]
    assert queue.patterns[1, :, 2].tolist() == [-6, -2, -3, -4, -5]
    queue.enqueue(numbered(7, 1))
    assert queue.patterns[0, :, 0].tolist() == [6, 7, 3, 4, 5]


def test_a_batch_larger_than_the_queue_leaves_its_latest() -> None:
    queue = MemoryQueue(places=2, slots=5, width=3)
    queue.enqueue(numbered(1, 12))
    assert sorted(queue.patterns[0, :, 0].tolist()) == [8, 9, 10, 11, 12]


def test_the_queue_is_read_place_by_place_and_not_trained() -> None:
    queue = MemoryQueue(places=2, slots=5, width=3)
    queue.enqueue(numbered(1, 5))
    before = queue.patterns.clone()
    found = queue(torch.full((1, 2, 3), 4.0))
    assert 1 <= found[0, 0].min() <= found[0, 0].max() <= 5
    assert -5 <= found[0, 1].min() <= found[0, 1].max() <= -1
    assert torch.equal(queue.patterns, before)
    assert not list(queue.parameters())


def test_a_query_comes_back_as_the_pattern_it_is_like() -> None:
    """The two places hold the same patterns in opposite orders."""
    queue = MemoryQueue(places=2, slots=8, width=8)
    queue.enqueue(20 * torch.stack([torch.eye(8), torch.eye(8).flip(0)], dim=1))
    queries = torch.eye(8)[None, 3:5]
    torch.testing.assert_close(queue(queries), 20 * queries)


def test_the_matrix_has_patterns_for_each_window_and_trains_them() -> None:
    matrix = MemoryMatrix(2, SLOTS, 3 * 2 * 2, MaskedShortcut(seeded())).eval()
    with torch.no_grad():
        matrix.patterns[1] = 7.0
    features = torch.rand(2, 3, 4, 4, generator=seeded())
    found = matrix(features)
    assert found.shape == features.shape
    torch.testing.assert_close(found[:, :, :2, 2:], torch.full((2, 3, 2, 2), 7.0))
    assert (found[:, :, 2:] < 1).all()
    (gradient,) = torch.autograd.grad(found.square().sum(), matrix.patterns)
    assert (gradient != 0).flatten(1).any(dim=1).all()


# --- in-painting --------------------------------------------------------------------------------


def test_the_shortcut_lets_a_twentieth_of_the_positions_past() -> None:
    original, in_painted = torch.zeros(10, 3, 40, 40), torch.ones(10, 3, 40, 40)
    shortcut = MaskedShortcut(seeded()).train()
    mixed = shortcut(original, in_painted)
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    assert mixed.mean().item() == pytest.approx(0.95, abs=0.01)
    assert torch.equal(mixed[:, 0], mixed[:, 2])
    assert not torch.equal(shortcut(original, in_painted), mixed)
    assert torch.equal(MaskedShortcut(seeded())(original, in_painted), mixed)


def test_nothing_goes_past_after_training() -> None:
    shortcut = MaskedShortcut(seeded()).eval()
    assert torch.equal(
        shortcut(torch.zeros(2, 3, 9, 9), torch.ones(2, 3, 9, 9)).unique(), torch.ones(1)
    )


def block() -> InpaintingBlock:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return InpaintingBlock(64, 2, 2, SLOTS, MaskedShortcut(seeded()))


@torch.no_grad()
def test_the_input_reaches_the_decoder_through_the_memory_alone() -> None:
    inpainting = block().eval()
    one, two = torch.rand(2, 4, 64, 2, 2, generator=seeded()).unbind()
    assert not torch.equal(inpainting(one)[0], inpainting(two)[0])
    inpainting.queue.patterns.zero_()
    torch.testing.assert_close(inpainting(one)[0], inpainting(two)[0])


@torch.no_grad()
def test_a_patch_is_rebuilt_from_its_neighbours_too() -> None:
    inpainting = block().eval()
    features = torch.rand(4, 64, 2, 2, generator=seeded())
    before, _ = inpainting(features)
    inpainting.queue.patterns[3] = torch.randn(SLOTS, 64, generator=seeded(1))
    after, _ = inpainting(features)
    assert ((before - after).flatten(1).abs().amax(dim=1) > 0.1).all()


@torch.no_grad()
def test_the_queue_is_offered_the_reduced_features_of_each_place() -> None:
    inpainting = block().eval()
    features = torch.rand(8, 64, 2, 2, generator=seeded())
    in_painted, patches = inpainting(features)
    assert in_painted.shape == features.shape
    expected = inpainting.reduce(features)
    assert torch.equal(patches, expected.reshape(2, 4, -1))


# --- generator and losses -----------------------------------------------------------------------


def test_both_decoders_rebuild_the_whole_image() -> None:
    generator, critic = networks()
    rebuilt = generator(images(3))
    for image in (rebuilt.student, rebuilt.teacher):
        assert image.shape == (3, 1, SIZE, SIZE)
        assert 0 < image.min() < image.max() < 1
    assert critic(rebuilt.student).shape == (3,)
    # The patches are joined after two of four levels.
    assert [level.shape[0] for level in rebuilt.student_levels] == [12, 12, 3, 3]
    for one, two in zip(rebuilt.student_levels, rebuilt.teacher_levels, strict=True):
        assert one.shape == two.shape


def test_the_teacher_teaches_the_student_and_not_the_encoder() -> None:
    generator, _ = networks()
    rebuilt = generator(images(2))
    encoder, student = list(generator.encoder.parameters()), list(generator.student.parameters())
    wanted = [*encoder, *student, generator.inpainting.attention.in_proj_weight]
    gradients = torch.autograd.grad(rebuilt.teacher.sum(), wanted, allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_the_student_is_what_is_scored() -> None:
    generator, _ = networks()
    generator.eval()
    with torch.no_grad():
        assert torch.equal(generator.rebuild(images(2)), generator(images(2)).student)


def test_the_generator_loss_by_hand() -> None:
    zero = torch.zeros(1, 1, 2, 2)
    rebuilt = Rebuilt(
        student=zero + 0.5,
        teacher=zero + 2.0,
        student_levels=[torch.zeros(3), torch.zeros(2)],
        teacher_levels=[torch.full((3,), 2.0), torch.full((2,), 3.0)],
        patches=torch.zeros(0),
    )
    logits = torch.tensor([0.0])
    expected = 10 * 0.25 + 0.01 * 4 + 0.001 * (4 + 9) + 0.005 * torch.log(torch.tensor(2.0))
    torch.testing.assert_close(generator_loss(rebuilt, zero, logits), expected)
    assert generator_loss(rebuilt, zero, logits + 1) < generator_loss(rebuilt, zero, logits)


def test_the_critic_loss_is_the_cross_entropy() -> None:
    real, fake = torch.randn(2, 5, generator=seeded()).unbind()
    entropy = functional.binary_cross_entropy_with_logits
    expected = 0.005 * (entropy(real, torch.ones(5)) + entropy(fake, torch.zeros(5)))
    torch.testing.assert_close(critic_loss(real, fake), expected)


def test_training_images_are_moved_a_little() -> None:
    spot = torch.zeros(200, 1, SIZE, SIZE)
    spot[:, :, SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1] = 1.0
    moved = shift_and_zoom(spot, seeded())
    assert 0 <= moved.min() < moved.max() <= 1
    places = torch.arange(SIZE) - (SIZE - 1) / 2
    mass = moved.sum(dim=(1, 2, 3))
    for profile in (moved.sum(dim=(1, 2)), moved.sum(dim=(1, 3))):
        shift = (profile * places).sum(dim=1) / mass
        assert 0.04 * SIZE < shift.abs().max() < 0.06 * SIZE
    assert torch.equal(shift_and_zoom(spot, seeded()), moved)


# --- training -----------------------------------------------------------------------------------


def test_the_generator_learns_at_every_second_step_and_then_remembers() -> None:
    generator, critic = networks()
    trainer = Trainer(generator, critic, 1e-3, 4)
    changed = []
    for step in range(4):
        before = weights(generator), generator.inpainting.queue.patterns.clone()
        judged = weights(critic)
        trainer.step(images(2, step))
        after = weights(generator), generator.inpainting.queue.patterns
        changed.append([not torch.equal(*pair) for pair in zip(before, after, strict=True)])
        assert not torch.equal(weights(critic), judged)
    assert changed == [[True, True], [False, False]] * 2


def test_the_critic_never_sees_a_batch_of_one_kind() -> None:
    generator, critic = networks()
    seen: list[Tensor] = []
    critic.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    trainer = Trainer(generator, critic, 1e-3, 2)
    for _ in range(2):
        trainer.step(NORMAL)
    # In the first step both networks learn.
    assert len(seen) == 3
    for batch in seen:
        assert torch.equal(batch[:3], NORMAL)
        assert batch[3:].shape == NORMAL.shape
        assert not torch.equal(batch[3:], NORMAL)


def test_rebuilding_gets_better_and_the_critic_learns_which_is_which(
    trained: tuple[Generator, Critic],
) -> None:
    def error(generator: Generator) -> float:
        with evaluating(generator):
            return functional.mse_loss(generator.rebuild(NORMAL), NORMAL).item()

    generator, critic = trained
    assert error(generator) < 0.8 * error(networks()[0])
    with evaluating(generator, critic):
        assert critic(NORMAL).mean() > critic(generator.rebuild(NORMAL)).mean() + 1


@pytest.mark.parametrize("broken", ["generator", "critic"])
def test_training_that_diverges_says_so(broken: str) -> None:
    generator, critic = networks()
    trainer = Trainer(generator, critic, 1e-3, 2)
    with torch.no_grad():
        if broken == "generator":
            generator.teacher.out.weight.fill_(torch.nan)
        else:
            next(critic.parameters()).fill_(torch.nan)
    with pytest.raises(ConfigError, match="diverged"):
        trainer.step(images(2))


def test_one_seed_gives_the_same_scores() -> None:
    unseen = images(3, 9)
    scores = fit()(unseen)
    assert torch.equal(scores, fit()(unseen))
    assert not torch.equal(scores, fit(seed=1)(unseen))


def test_the_global_random_stream_and_threads_are_left_alone() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit(steps=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


def test_a_training_set_smaller_than_a_batch_will_do() -> None:
    scores = squid(steps=2, batch_size=4).fit(images(1), images(0), seed=0, device=CPU)(images(2))
    assert scores.isfinite().all()


def test_each_step_is_told_and_may_be_the_last() -> None:
    track = RecordingTrack()
    squid().fit(images(3), images(0), seed=0, device=CPU, track=track)
    assert track.seen == track.totals == {"training SQUID": 3}

    def interrupt(items: Iterable[T], description: str, total: int) -> Iterator[T]:
        del description, total
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squid().fit(images(3), images(0), seed=0, device=CPU, track=interrupt)


def test_checkpoints_see_the_networks_on_their_way_and_change_nothing() -> None:
    unseen = images(3, 9)
    seen: list[Tensor] = []

    def look(scorer: ImageScorer) -> None:
        torch.rand(1)
        seen.append(scorer(unseen))

    settings = squid(steps=CHECKPOINTS + 1)
    found = settings.fit(images(4), images(0), seed=0, device=CPU, on_checkpoint=look)
    assert len(seen) == CHECKPOINTS
    assert not torch.equal(seen[0], seen[-1])
    # As in training: other numbers of threads round otherwise, and so small a network shows it.
    with one_thread():
        assert torch.equal(seen[-1], found(unseen))
    alone = settings.fit(images(4), images(0), seed=0, device=CPU)
    assert torch.equal(alone(unseen), found(unseen))


def test_settings_that_cannot_be() -> None:
    for changes in ({"size": 80}, {"size": 32}, {"slots": KEPT - 1}, {"width": 6}):
        with pytest.raises(ValidationError):
            squid(**changes)


def test_budgets() -> None:
    full, small = Squid.within(Budget.FULL), Squid.within(Budget.CPU)
    assert (full.size, full.width, full.slots, full.batch_size) == (128, 32, 200, 16)
    assert small.size < full.size
    assert small.steps < full.steps
    assert not Squid.uses_anomalies


# --- scores -------------------------------------------------------------------------------------


def test_a_score_does_not_depend_on_the_images_beside_it(
    trained: tuple[Generator, Critic],
) -> None:
    scorer = RealismScorer(*trained, NORMAL, CPU)
    unseen = images(40, 9)
    alone = torch.cat([scorer(image[None]) for image in unseen])
    assert alone.std() > 0.01
    torch.testing.assert_close(scorer(unseen), alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scorer(unseen.flip(0)).flip(0), alone, rtol=1e-3, atol=1e-4)


def test_the_less_real_it_looks_the_higher_the_score(
    trained: tuple[Generator, Critic],
) -> None:
    generator, critic = trained
    unseen = images(10, 9)
    scores = RealismScorer(generator, critic, NORMAL, CPU)(unseen)
    with evaluating(generator, critic):
        references = critic(generator.rebuild(NORMAL)).double()
        logits = critic(generator.rebuild(unseen)).double()
    standard = (logits - references.mean()) / references.std(correction=0)
    torch.testing.assert_close(scores, 1 - torch.sigmoid(standard))
    assert torch.equal(scores.argsort(), logits.argsort(descending=True))


def test_scoring_puts_the_networks_back_into_their_mode() -> None:
    generator, critic = networks()
    generator.train()
    critic.eval()
    state = {key: value.clone() for key, value in generator.state_dict().items()}
    RealismScorer(generator, critic, images(3), CPU)(images(2))
    assert all(module.training for module in generator.modules())
    assert not any(module.training for module in critic.modules())
    assert all(torch.equal(value, state[key]) for key, value in generator.state_dict().items())
