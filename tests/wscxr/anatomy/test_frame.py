import numpy as np
import pytest

from tests.helpers import noise
from wscxr.anatomy import Frame
from wscxr.imaging import Radiograph

FRAME = Frame(left=10, top=5, right=34, bottom=35, width=48, height=40)


def radiograph() -> Radiograph:
    return Radiograph(noise(40, 48), "PNG")


def test_the_whole_picture_is_a_frame() -> None:
    picture = radiograph()
    frame = Frame.whole(picture)
    assert frame.is_whole
    assert not FRAME.is_whole


def test_a_map_comes_back_to_the_pixels_it_was_made_from() -> None:
    """At the frame's own size nothing is interpolated."""
    values = noise(30, 24).astype(np.float32)
    found = FRAME.to_radiograph(values, (40, 48), outside=-1)
    np.testing.assert_array_equal(found[5:35, 10:34], values)
    assert (found[:5] == -1).all()
    assert (found[:, 34:] == -1).all()
    assert found.shape == (40, 48)


@pytest.mark.parametrize("place", [(8, 12), (20, 20), (33, 32)])
def test_a_spot_of_a_coarse_map_lands_on_its_own_place(place: tuple[int, int]) -> None:
    row, column = place
    spot = np.zeros((40, 48), np.float32)
    spot[row, column] = 1
    coarse = FRAME.from_radiograph(spot, (64, 64))
    found = FRAME.to_radiograph(coarse, spot.shape, outside=0)
    peak = np.unravel_index(found.argmax(), found.shape)
    assert abs(int(peak[0]) - row) <= 1
    assert abs(int(peak[1]) - column) <= 1


def test_a_map_of_the_whole_picture_is_brought_into_the_frame() -> None:
    columns = np.tile(np.arange(48, dtype=np.float32), (40, 1))
    inside = FRAME.from_radiograph(columns, (24, 24))
    np.testing.assert_allclose(inside[12], np.arange(10, 34), atol=0.01)


def test_a_map_comes_back_to_a_coarse_grid_too() -> None:
    """On a grid of half the radiograph's sides, in the middle of the frame, and nowhere else."""
    found = FRAME.to_radiograph(np.ones((6, 6), np.float32), (20, 24), outside=-2)
    assert found.shape == (20, 24)
    assert (found[3:17, 5:17] == 1).all()
    assert (found[:2] == -2).all()
    assert (found[:, 18:] == -2).all()
