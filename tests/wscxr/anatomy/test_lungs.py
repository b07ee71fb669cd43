from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers import lung_finder
from wscxr.anatomy import LungFields, LungNetwork, find_lungs, shipped_lung_network
from wscxr.anatomy.lungs import MARGIN
from wscxr.imaging import Assumed, DicomRules, Radiograph, read_radiograph


class Dark(LungNetwork):
    """Finds lungs wherever the picture is dark."""

    def forward(self, pictures: Tensor) -> Tensor:
        return 20 * (0.5 - pictures)


def chest(height: int = 300, width: int = 400, depth: type = np.uint8) -> Radiograph:
    """Two dark lungs between columns 10 and 90 and rows 20 and 80, in percent."""
    pixels = np.full((height, width), 0.8)
    rows = slice(round(0.2 * height), round(0.8 * height))
    for left, right in ((0.1, 0.4), (0.6, 0.9)):
        pixels[rows, round(left * width) : round(right * width)] = 0.2
    return Radiograph((pixels * np.iinfo(depth).max).astype(depth), "PNG")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_the_frame_lies_around_the_lungs_in_the_radiographs_own_pixels(depth: type) -> None:
    radiograph = chest(depth=depth)
    found = find_lungs(lung_finder(Dark()), radiograph)
    frame = found.frame(radiograph)
    margins = MARGIN * 0.8 * 400, MARGIN * 0.6 * 300
    assert found.found
    expected = [40 - margins[0], 60 - margins[1], 360 + margins[0], 240 + margins[1]]
    sides = [frame.left, frame.top, frame.right, frame.bottom]
    np.testing.assert_allclose(sides, expected, atol=6)


def test_the_number_of_cores_changes_nothing() -> None:
    """A frame that moved by a pixel would move the score."""
    before = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(find_lungs(lung_finder(shipped_lung_network()), chest()).probability)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_without_lungs_the_frame_is_the_whole_picture() -> None:
    radiograph = chest()
    nothing = LungFields(np.zeros((128, 128), np.float32), None)
    assert not nothing.found
    assert nothing.frame(radiograph).is_whole


def test_a_network_is_left_as_it_was() -> None:
    network: nn.Module = LungNetwork().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert isinstance(network, LungNetwork)
    find_lungs(lung_finder(network), chest())
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key].numpy())


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["zhanglab224/pneumonia", "nih512/normal", "nih512/abnormal"])
def test_lungs_of_real_chests_are_found_and_those_of_their_negatives_are_not(
    real_data: Path, folder: str
) -> None:
    network = lung_finder(shipped_lung_network())
    for file in sorted((real_data / "data" / folder).iterdir())[:20]:
        picture = read_radiograph(file.read_bytes())
        assert find_lungs(network, picture).found
        for other in (picture.pixels.max() - picture.pixels, picture.pixels[::-1].copy()):
            assert not find_lungs(network, Radiograph(other, picture.format)).found


@pytest.mark.real_data
def test_a_leg_has_no_lungs(real_data: Path) -> None:
    rules = DicomRules(assume=Assumed(body_part="CHEST"))
    files = sorted((real_data / "data" / "dicom").glob("wg04_RG3*"))
    assert files
    for file in files:
        leg = read_radiograph(file.read_bytes(), rules=rules)
        assert not find_lungs(lung_finder(shipped_lung_network()), leg).found
