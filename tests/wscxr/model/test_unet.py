from pathlib import Path

import pytest
import safetensors.torch
import torch

from wscxr.anatomy import LungNetwork
from wscxr.errors import WeightsError, WeightsUnavailable
from wscxr.model.unet import UNet, load_weights


def test_the_map_has_the_size_of_the_picture() -> None:
    network = UNet((4, 6, 8)).eval()
    assert network.multiple == 8
    assert network(torch.zeros(2, 1, 24, 40)).shape == (2, 1, 24, 40)


def test_every_place_sees_the_whole_picture() -> None:
    """What is upside down shows only to a network that sees both ends of a chest."""
    torch.manual_seed(0)
    network = LungNetwork().eval()
    picture = torch.rand(1, 1, 128, 128)
    changed = picture.clone()
    changed[..., :8, :] = 0
    difference = (network(picture) - network(changed)).abs()[0, 0]
    assert difference[-8:].max() > 0


def test_the_lung_network_is_small() -> None:
    assert sum(weights.numel() for weights in LungNetwork().parameters()) <= 300_000


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lungs.safetensors"
    safetensors.torch.save_file(LungNetwork().state_dict(), path)
    loaded = load_weights(LungNetwork(), path)
    assert not loaded.training
    with pytest.raises(WeightsError, match="UNet"):
        load_weights(UNet((4, 6, 8)), path)
    with pytest.raises(WeightsUnavailable):
        load_weights(LungNetwork(), tmp_path / "none.safetensors")
