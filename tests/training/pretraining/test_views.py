import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from training.pretraining.backbone import views
from training.pretraining.backbone.config import View
from training.pretraining.backbone.objectives import matched_patches
from training.pretraining.backbone.views import Views, draw_views

VIEW = View(size=32)
SIDE = 64


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=stream(seed))


def coordinates(count: int) -> Tensor:
    """Pictures of two channels whose pixels hold their own place: x and y in [-1, 1]."""
    centres = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y]).expand(count, -1, -1, -1)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Geometry alone: no exposure, no marker."""
    for name in ("_expose", "_mark"):
        monkeypatch.setattr(views, name, lambda cut, _: cut)


def determinants(drawn: Views) -> Tensor:
    found: Tensor = torch.linalg.det(drawn.frames[:, :, :2])
    return found


def test_two_views_of_each_radiograph() -> None:
    first, second = draw_views(pictures(), VIEW, stream())
    for drawn in (first, second):
        assert drawn.pixels.shape == (8, 1, 32, 32)
        assert drawn.frames.shape == (8, 2, 3)
        assert torch.isfinite(drawn.pixels).all()
    assert (first.frames - second.frames).abs().amax(dim=(1, 2)).min() > 0.01


def test_one_stream_gives_the_same_views_whatever_the_global_state() -> None:
    torch.manual_seed(0)
    one = draw_views(pictures(), VIEW, stream(3))
    state = torch.random.get_rng_state()
    two, other = draw_views(pictures(), VIEW, stream(3)), draw_views(pictures(), VIEW, stream(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b, c in zip(one, two, other, strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.frames, b.frames)
        assert not torch.equal(a.frames, c.frames)


# --- framing ------------------------------------------------------------------------------------


def test_both_views_are_mirrored_or_neither_is() -> None:
    first, second = (determinants(drawn) for drawn in draw_views(pictures(200), VIEW, stream()))
    assert torch.equal(first.sign(), second.sign())
    assert 0.35 < (first < 0).float().mean() < 0.65


def test_crops_keep_the_size_asked_for_and_lie_within_the_radiograph() -> None:
    view = View(size=32, scale=(0.6, 0.8))
    for drawn in draw_views(pictures(300), view, stream()):
        sides = torch.linalg.vector_norm(drawn.frames[:, :, :2], dim=1)
        assert sides.amin() > 0.6 * 0.8
        assert sides.amax() <= 1
        area = determinants(drawn).abs()
        assert 0.6**2 * 0.85 < area.min() < 0.7**2 < area.max() < 0.8**2 * 1.01
        assert (drawn.frames[:, :, 2].abs() <= 1 - sides + 1e-6).all()


@pytest.mark.usefixtures("plain")
def test_a_frame_tells_where_the_pixels_come_from() -> None:
    for drawn in draw_views(coordinates(20), VIEW, stream()):
        places = functional.affine_grid(drawn.frames, [20, 1, 32, 32], align_corners=False)
        # Outside the radiograph its border is repeated.
        expected = places.permute(0, 3, 1, 2).clamp(-1 + 1 / SIDE, 1 - 1 / SIDE)
        torch.testing.assert_close(drawn.pixels, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("plain")
def test_matched_patches_of_two_views_show_the_same_place() -> None:
    first, second = draw_views(coordinates(20), VIEW, stream())
    here, there = matched_patches(first.pixels, second.pixels, first.frames, second.frames)
    assert len(here) > 20 * 32 * 32 * 0.3
    # Where the border is not repeated, coordinates are linear and interpolation is exact.
    within = (here.abs() < 0.85).all(dim=1)
    assert within.float().mean() > 0.5
    apart = (here - there)[within].abs().amax(dim=1)
    assert (apart < 1e-4).float().mean() > 0.95
    # But for the outer half of the second view's border pixels, of half a pixel at most.
    assert apart.max() <= 1 / 32


# --- exposure and markers -----------------------------------------------------------------------


def test_each_view_is_exposed_in_its_own_way() -> None:
    grey = torch.full((40, 1, 32, 32), 0.5)
    means = views._expose(grey, stream()).mean(dim=(1, 2, 3))
    assert means.std() > 0.05
    assert means.median() == pytest.approx(0.5, abs=0.15)


def test_some_views_are_blurred_and_all_have_noise() -> None:
    edge = torch.zeros(60, 1, 32, 32)
    edge[..., 16:] = 1.0
    exposed = views._expose(edge, stream())
    assert (exposed[..., 4:12].std(dim=(1, 2, 3)) > 0).all()
    rise = (exposed[..., 16] - exposed[..., 15]).mean(dim=(1, 2))
    height = (exposed[..., 24:28] - exposed[..., 4:8]).mean(dim=(1, 2, 3))
    steepness = rise / height
    assert 0.2 < (steepness < 0.8).float().mean() < 0.8


def test_markers_are_bright_and_lie_at_the_edge() -> None:
    dark = torch.zeros(300, 1, 32, 32)
    marked = views._mark(dark, stream())
    assert not dark.any()
    assert set(marked.flatten().tolist()) == {0.0, 1.0}
    assert 0.2 < marked.any(dim=3).any(dim=2).float().mean() < 0.4
    assert not marked[..., 5:27, 5:27].any()
    bright = torch.full((300, 1, 32, 32), 2.0)
    assert torch.equal(views._mark(bright, stream()), bright)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 16},
        {"scale": (0.0, 1.0)},
        {"scale": (0.8, 0.5)},
        {"scale": (0.5, 1.1)},
        {"colour": 1},
    ],
    ids=str,
)
def test_settings_of_a_view_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        View.model_validate(settings)
