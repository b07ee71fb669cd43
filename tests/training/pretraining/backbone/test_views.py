import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from tests.helpers import encode, noise
from training.pretraining.backbone import views
from training.pretraining.backbone.config import RandomView
from training.pretraining.backbone.objectives import matched_patches
from training.pretraining.backbone.views import Views, draw_views, find_unlabelled, load_pictures
from wscxr.errors import DataError, NotEnoughImages, SampleListError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four pictures, two of them in a folder below."""
    folder = tmp_path / "archive"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "more/c.png", "more/d.png"]):
        (folder / name).write_bytes(encode(noise(seed=number)))
    return folder


def table(folder: Path, text: str) -> Path:
    file = folder / "list.csv"
    file.write_text(text, encoding="utf-8")
    return file


# --- finding ------------------------------------------------------------------------------------


def test_a_folder_is_searched_with_all_below_it(archive: Path) -> None:
    names = ["a.png", "b.png", "more/c.png", "more/d.png"]
    assert find_unlabelled([archive]) == [archive / name for name in names]


def test_a_csv_file_names_images_from_its_own_folder_on(archive: Path) -> None:
    absolute = archive / "a.png"
    file = table(archive, f"\ufeffpath,label\nmore/d.png,normal\n{absolute},\n,normal\n")
    assert find_unlabelled([file]) == [archive / "more" / "d.png", absolute]


def test_what_is_found_twice_counts_once(archive: Path, tmp_path: Path) -> None:
    file = table(archive, "path\nmore/../b.png\nmore/c.png\n")
    link = tmp_path / "link"
    link.symlink_to(archive)
    found = find_unlabelled([archive / "more", file, link])
    assert found == [
        archive / "more" / "c.png",
        archive / "more" / "d.png",
        archive / "more" / ".." / "b.png",
        link / "a.png",
    ]


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder or CSV file .*nowhere"):
        find_unlabelled([tmp_path / "nowhere"])


def test_each_place_must_hold_an_image(archive: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for place in (empty, table(tmp_path, "path\n")):
        with pytest.raises(NotEnoughImages, match=place.name):
            find_unlabelled([archive, place])


@pytest.mark.parametrize("text", ["file,label\na.png,normal\n", ""])
def test_a_csv_file_without_the_column(archive: Path, text: str) -> None:
    with pytest.raises(SampleListError, match="lacks column path"):
        find_unlabelled([table(archive, text)])


def test_a_csv_file_that_cannot_be_read(archive: Path) -> None:
    file = archive / "list.csv"
    file.write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(SampleListError, match="cannot be read"):
        find_unlabelled([file])


# --- loading ------------------------------------------------------------------------------------


def test_pictures_are_small_grey_and_stretched(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(50, 150, 64).astype(np.uint8), (32, 1))
    files = []
    for name, pixels in (("ramp.png", ramp), ("upside.png", ramp[:, ::-1])):
        (tmp_path / name).write_bytes(encode(np.ascontiguousarray(pixels)))
        files.append(tmp_path / name)
    found = load_pictures(files, 16)
    assert found.pixels.shape == (2, 1, 16, 16)
    assert found.pixels.dtype == torch.uint8
    assert found.pixels[0, 0, 5, 0] < 15
    assert found.pixels[0, 0, 5, -1] > 240
    torch.testing.assert_close(found.pixels[0].flip(2), found.pixels[1], atol=1, rtol=0)


def test_the_hash_is_of_the_contents_alone(archive: Path) -> None:
    files = find_unlabelled([archive])
    hashes = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    whole = load_pictures(files, 16).sha256
    assert whole == hashlib.sha256("".join(hashes).encode()).hexdigest()
    renamed = files[0].rename(archive / "z.png")
    assert load_pictures([*files[1:], renamed], 16).sha256 == whole
    assert load_pictures(files[1:], 16).sha256 != whole


def test_a_file_that_cannot_be_read_is_named(archive: Path) -> None:
    (archive / "b.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"b\.png"):
        load_pictures(find_unlabelled([archive]), 16)
    with pytest.raises(DataError, match=r"gone\.png"):
        load_pictures(find_unlabelled([table(archive, "path\ngone.png\n")]), 16)


VIEW = RandomView(size=32)
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
    view = RandomView(size=32, scale=(0.6, 0.8))
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
        RandomView.model_validate(settings)
