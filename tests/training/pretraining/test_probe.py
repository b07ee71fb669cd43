import pytest
import torch
from torch import Tensor

from training.pretraining.backbone import training as module
from training.pretraining.backbone.config import View
from training.pretraining.backbone.training import effective_rank, probe
from training.pretraining.backbone.views import Views

VIEW = View(size=32)


def gaussian(rows: int, channels: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, channels, generator=torch.Generator().manual_seed(seed))


def pictures(count: int = 9) -> Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(0))


# --- effective rank -----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_all_directions_alike_have_the_rank_of_the_channels(channels: int) -> None:
    assert effective_rank(gaussian(5000, channels)) == pytest.approx(channels, rel=0.02)


def test_one_direction_has_rank_one_wherever_it_lies() -> None:
    line = gaussian(500, 1) @ gaussian(1, 8, seed=1) + 100
    assert effective_rank(line) == pytest.approx(1, abs=0.02)
    assert effective_rank(torch.ones(20, 8)) == 1
    assert effective_rank(torch.cat([line, line + gaussian(500, 8, seed=2)])) > 1.5


def test_the_rank_is_the_exponential_of_an_entropy() -> None:
    """Singular values 3 : 1, so shares 0.75 and 0.25."""
    features = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    expected = 0.75**-0.75 * 0.25**-0.25
    assert effective_rank(features) == pytest.approx(expected, rel=1e-5)
    assert effective_rank(7 * features + 5) == pytest.approx(expected, rel=1e-5)


# --- the probe ----------------------------------------------------------------------------------


def as_channels(pixels: Tensor) -> Tensor:
    """A network that forgets nothing: each pixel is a channel of its only patch."""
    return pixels.flatten(1)[:, :, None, None]


def alike(batch: Tensor, _view: View, _generator: torch.Generator) -> tuple[Views, Views]:
    frames = torch.eye(2, 3).expand(len(batch), -1, -1)
    return Views(batch, frames), Views(0.9 * batch, frames)


def test_what_tells_radiographs_apart_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_views", alike)
    found = probe(as_channels, pictures(), VIEW, batch_size=4)
    assert (found.retrieval, found.images) == (1.0, 9)
    # Nine directions at most, the mean taken out.
    assert 7 < found.rank < 9


def test_a_collapsed_network_guesses() -> None:
    found = probe(lambda pixels: torch.ones(len(pixels), 4, 2, 2), pictures(), VIEW, batch_size=4)
    assert found.retrieval == pytest.approx(1 / 9)
    assert found.rank == 1


def test_the_views_are_always_the_same_ones() -> None:
    def trunk(pixels: Tensor) -> Tensor:
        return torch.cat([pixels, pixels.square(), pixels.roll(3, dims=2) * pixels], dim=1)

    one = probe(trunk, pictures(), VIEW, batch_size=4)
    torch.manual_seed(5)
    torch.rand(3)
    assert probe(trunk, pictures(), VIEW, batch_size=4) == one
    assert 1 <= one.rank <= 3
    assert one != probe(trunk, pictures(), View(size=48), batch_size=4)


def test_no_gradient_is_kept() -> None:
    scale = torch.ones((), requires_grad=True)
    seen: list[Tensor] = []

    def trunk(pixels: Tensor) -> Tensor:
        seen.append(as_channels(pixels) * scale)
        return seen[-1]

    probe(trunk, pictures(2), VIEW, batch_size=4)
    assert not any(maps.requires_grad for maps in seen)
