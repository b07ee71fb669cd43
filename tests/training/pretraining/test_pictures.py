import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import encode, noise
from training.pretraining.backbone.views import find_unlabelled, load_pictures
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
