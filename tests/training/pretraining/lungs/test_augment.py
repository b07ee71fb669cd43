import pytest
import torch
from torch import Tensor

from training.pretraining.lungs import augment
from training.pretraining.lungs.augment import draw_pictures, stretch
from wscxr.anatomy.network import INPUT_SIDE

COUNT = 6


def chests() -> tuple[Tensor, Tensor]:
    """Bright pictures with two dark lungs, and their masks."""
    masks = torch.zeros(COUNT, 1, 192, 192)
    masks[:, :, 50:150, 30:80] = masks[:, :, 50:150, 110:160] = 1
    body = torch.zeros(COUNT, 1, 192, 192)
    body[:, :, 10:180, 10:180] = 0.9
    return body - 0.6 * masks, masks


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(monkeypatch: pytest.MonkeyPatch, kind: str | None) -> None:
    """Make every picture of one kind."""
    monkeypatch.setattr(augment, "_FOREIGN", {} if kind is None else {kind: 1.0})


def test_pictures_and_masks_are_in_range_and_repeat_with_the_seed() -> None:
    pixels, masks = draw_pictures(*chests(), stream())
    assert pixels.shape == masks.shape == (COUNT, 1, INPUT_SIDE, INPUT_SIDE)
    for part in (pixels, masks):
        assert part.min() >= 0
        assert part.max() <= 1
    again, _ = draw_pictures(*chests(), stream())
    assert torch.equal(pixels, again)
    other, _ = draw_pictures(*chests(), stream(1))
    assert not torch.equal(pixels, other)


def test_masks_move_with_their_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without disease, a lung stays darker than the body around it."""
    only(monkeypatch, None)
    for name in ("_OPACIFIED", "_COVERED", "_COLLIMATED"):
        monkeypatch.setattr(augment, name, 0.0)
    pixels, masks = draw_pictures(*chests(), stream())
    for picture, mask in zip(pixels, masks, strict=True):
        # Next to each other, since brightness may drift across the picture.
        inner = mask > 0.9
        rim = (torch.nn.functional.max_pool2d(mask[None], 7, 1, 3)[0] > 0.5) & (mask < 0.1)
        assert picture[inner].mean() < picture[rim].mean()


@pytest.mark.parametrize("kind", ["negative", "upside down", "on its side", "puzzle", "noise"])
def test_what_is_no_upright_chest_has_an_empty_mask(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    only(monkeypatch, None)
    chest, masks = draw_pictures(*chests(), stream())
    assert masks.amax((1, 2, 3)).min() > 0.5
    only(monkeypatch, kind)
    pixels, masks = draw_pictures(*chests(), stream())
    assert not masks.any()
    assert (pixels - chest).abs().mean((1, 2, 3)).min() > 0.02


def test_stretching_does_not_depend_on_exposure() -> None:
    pixels, _ = chests()
    torch.testing.assert_close(stretch(pixels), stretch(0.3 * pixels + 0.2), atol=1e-4, rtol=0)


def test_weaker_pictures_stay_nearer_to_the_radiographs(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, None)
    pixels, masks = chests()
    small = torch.nn.functional.interpolate(masks, INPUT_SIDE, mode="bilinear")
    moved = [
        (draw_pictures(pixels, masks, stream(), strength=strength)[1] - small).abs().mean()
        for strength in (0.0, 0.3, 1.0)
    ]
    # Mirroring is no matter of strength: the two lungs are mirror images.
    assert moved[0] < 0.02
    assert moved[0] < moved[1] < moved[2]
