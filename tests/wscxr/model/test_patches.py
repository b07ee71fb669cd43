import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wscxr.model.patches import aggregate, align, patch_features


def mean_with_zero_padding(phi: Tensor, p: int) -> Tensor:
    """Eq. 2-3 written down: the sum over the p x p neighbourhood, divided by p^2."""
    batch, channels, height, width = phi.shape
    out = torch.zeros_like(phi, dtype=torch.float64)
    reach = p // 2
    for y in range(height):
        for x in range(width):
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        out[:, :, y, x] += phi[:, :, y + dy, x + dx].double()
    assert out.shape == (batch, channels, height, width)
    return out / p**2


# --- align (Eq. 1) ------------------------------------------------------------------------------


def test_a_single_map_is_not_touched() -> None:
    only = torch.randn(2, 5, 3, 4)
    assert align([only]) is only


def test_the_largest_size_wins_and_all_channels_are_kept() -> None:
    maps = [torch.randn(2, 6, 8, 4), torch.randn(2, 4, 2, 2), torch.randn(2, 12, 1, 7)]
    assert align(maps).shape == (2, 6 + 4 + 12, 8, 7)


def test_layers_keep_their_order_and_their_values() -> None:
    shallow = torch.tensor([10.0, 20.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    deep = torch.tensor([1.0, 3.0, 5.0]).view(1, 3, 1, 1)
    assert align([shallow, deep])[0, :, 0, 0].tolist() == [10.0, 20.0, 1.0, 3.0, 5.0]
    assert align([deep, shallow])[0, :, 1, 1].tolist() == [1.0, 3.0, 5.0, 10.0, 20.0]


def test_upsampling_is_bilinear_with_half_pixel_centres() -> None:
    small = torch.tensor([[0.0, 4.0]]).view(1, 1, 1, 2)
    aligned = align([torch.zeros(1, 1, 1, 4), small])
    assert aligned[0, 1, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


def test_upsampling_does_not_turn_the_picture() -> None:
    small = torch.zeros(1, 1, 2, 2)
    small[0, 0, 0, 1] = 1.0
    large = align([small, torch.zeros(1, 1, 8, 6)])[0, 0]
    corners = [large[0, 0], large[0, -1], large[-1, 0], large[-1, -1]]
    assert [corner.item() for corner in corners] == [0.0, 1.0, 0.0, 0.0]


# --- aggregate (Eq. 2-3) ------------------------------------------------------------------------


def test_neighbourhood_mean_by_hand_counts_the_padding() -> None:
    phi = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    # Every 3 x 3 neighbourhood holds all four values and five zeros of padding.
    torch.testing.assert_close(aggregate(phi, 3), torch.full((1, 1, 2, 2), 10 / 9))


@given(
    shape=st.tuples(*(st.integers(1, n) for n in (2, 3, 6, 6))),
    p=st.sampled_from([1, 3, 5, 7]),
    seed=st.integers(0, 2**16),
)
def test_aggregate_is_the_loop_over_the_neighbourhood(
    shape: tuple[int, ...], p: int, seed: int
) -> None:
    phi = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        aggregate(phi, p).double(), mean_with_zero_padding(phi, p), rtol=1e-5, atol=1e-6
    )


def test_p_of_one_changes_nothing() -> None:
    phi = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(aggregate(phi, 1), phi)


# --- patch_features -----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 3, 5])
def test_each_position_has_its_vector_last(p: int) -> None:
    maps = [torch.randn(2, 4, 3, 5), torch.randn(2, 6, 2, 2)]
    features = patch_features(maps, p)
    assert features.shape == (2, 3, 5, 4 + 6)
    assert features.is_contiguous()
    expected = mean_with_zero_padding(align(maps), p)
    for b, h, w in [(0, 0, 0), (1, 2, 4), (0, 1, 3)]:
        torch.testing.assert_close(
            features[b, h, w].double(), expected[b, :, h, w], rtol=1e-5, atol=1e-6
        )


def test_images_of_a_batch_do_not_mix() -> None:
    maps = [torch.randn(3, 4, 4, 4), torch.randn(3, 8, 2, 2)]
    together = patch_features(maps, 3)
    for number in range(3):
        alone = patch_features([m[number : number + 1] for m in maps], 3)
        torch.testing.assert_close(together[number : number + 1], alone)
