import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wscxr.model.mixing import ALPHA_RANGE, draw_alpha, mix


def test_mixture_by_hand() -> None:
    anomaly = torch.tensor([[10.0, 0.0], [4.0, 8.0]])
    normal = torch.tensor([[0.0, 20.0], [0.0, 0.0]])
    mixed = mix(anomaly, normal, torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(mixed, torch.tensor([[2.5, 15.0], [2.0, 4.0]]))


@given(
    anomaly=st.floats(-1e6, 1e6, width=32),
    normal=st.floats(-1e6, 1e6, width=32),
)
def test_endpoints_are_exact(anomaly: float, normal: float) -> None:
    m_a, m_n = torch.full((1, 3), anomaly), torch.full((1, 3), normal)
    assert torch.equal(mix(m_a, m_n, torch.ones(1)), m_a)
    assert torch.equal(mix(m_a, m_n, torch.zeros(1)), m_n)


@given(alpha=st.floats(0, 1, width=32))
def test_mixtures_lie_between(alpha: float) -> None:
    mixed = mix(torch.full((1, 1), 3.0), torch.full((1, 1), -1.0), torch.tensor([alpha]))
    assert mixed.item() == pytest.approx(3 * alpha - (1 - alpha), abs=1e-6)


def test_each_row_has_its_own_factor() -> None:
    mixed = mix(torch.ones(3, 2), torch.zeros(3, 2), torch.tensor([0.0, 0.5, 1.0]))
    assert mixed.tolist() == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]


def test_factors_are_uniform_over_the_papers_range() -> None:
    assert ALPHA_RANGE == (0.1, 1.0)
    alpha = draw_alpha(100_000, torch.Generator().manual_seed(0))
    assert alpha.dtype == torch.float32
    assert alpha.shape == (100_000,)
    assert alpha.min() >= 0.1
    assert alpha.max() <= 1.0
    # Deciles of U[0.1, 1]; the standard error of each is below 0.0015.
    share = torch.arange(1, 10) / 10
    torch.testing.assert_close(alpha.quantile(share), 0.1 + 0.9 * share, rtol=0, atol=0.008)


def test_one_stream_one_draw() -> None:
    first = draw_alpha(8, torch.Generator().manual_seed(3))
    assert torch.equal(first, draw_alpha(8, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, draw_alpha(8, torch.Generator().manual_seed(4)))
