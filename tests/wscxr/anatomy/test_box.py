import numpy as np
import pytest
from numpy.typing import NDArray

from wscxr.anatomy import LungBox, lung_box

SIDE = 128
LEFT_LUNG, RIGHT_LUNG = slice(20, 55), slice(70, 105)
ROWS = slice(30, 110)


def lungs(*columns: slice, probability: float = 0.98) -> NDArray[np.float32]:
    """A picture with a lung in each range of columns."""
    found = np.full((SIDE, SIDE), 0.01, np.float32)
    for span in columns:
        found[ROWS, span] = probability
    return found


def assert_box(box: LungBox | None, *sides: float) -> None:
    assert box is not None
    found = np.array([box.left, box.top, box.right, box.bottom]) * SIDE
    np.testing.assert_allclose(found, sides, atol=1.5)


def test_the_box_lies_around_both_lungs() -> None:
    assert_box(lung_box(lungs(LEFT_LUNG, RIGHT_LUNG)), 20, 30, 105, 110)


def test_specks_do_not_move_the_box() -> None:
    found = lungs(LEFT_LUNG, RIGHT_LUNG)
    found[2:5, 2:5] = found[120:124, 120:124] = 1
    assert_box(lung_box(found), 20, 30, 105, 110)


@pytest.mark.parametrize(
    ("seen", "left", "right"),
    [(slice(30, 55), 30, 30 + 2.3 * 25), (slice(75, 100), 100 - 2.3 * 25, 100)],
)
def test_the_box_reaches_over_a_lung_that_is_not_seen(
    seen: slice, left: float, right: float
) -> None:
    assert_box(lung_box(lungs(seen)), left, 30, right, 110)


def test_the_box_stays_in_the_picture() -> None:
    assert_box(lung_box(lungs(slice(0, 60))), 0, 30, 128, 110)


@pytest.mark.parametrize(
    "nothing",
    [
        np.zeros((SIDE, SIDE), np.float32),
        lungs(slice(20, 23)),
        lungs(LEFT_LUNG, RIGHT_LUNG, probability=0.55),
        np.ones((SIDE, SIDE), np.float32),
    ],
    ids=["none", "a sliver", "uncertain", "everywhere"],
)
def test_what_is_no_pair_of_lungs_has_no_box(nothing: NDArray[np.float32]) -> None:
    assert lung_box(nothing) is None


def test_a_margin_ends_at_the_edge_of_the_picture() -> None:
    box = LungBox(0.1, 0.01, 0.5, 0.995).widened(0.05)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.08, 0, 0.52, 1))
