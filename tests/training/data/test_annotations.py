from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers import encode, noise, png_chunk
from training.data.annotations import GRID, read_boxes, read_masks
from wscxr.errors import DataError, SampleListError

HALF = GRID // 2
HEADER = "file,x,y,w,h\n"


def image(path: Path, width: int = 100, height: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(noise(height, width)))
    return path


def boxes(folder: Path, text: str | bytes) -> Path:
    file = folder / "boxes.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def mask(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels))
    return path


def rectangle(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    grid = np.zeros((GRID, GRID), np.bool_)
    grid[top:bottom, left:right] = True
    return grid


# --- boxes --------------------------------------------------------------------------------------


def test_a_box_is_brought_to_the_grid(tmp_path: Path) -> None:
    path = image(tmp_path / "sub" / "a.png")  # 100 wide, 50 high
    found = read_boxes(boxes(tmp_path, HEADER + "sub/a.png,50,0,50,25\n")).lesions(path)
    [lesion] = found
    # The right half of the width, the upper half of the height.
    np.testing.assert_array_equal(lesion, rectangle(0, HALF, HALF, GRID))


@pytest.mark.parametrize(
    ("x", "w", "left", "right"),
    [
        # A grid pixel is 100 / 256 = 0.390625 wide; its centre is at 0.1953125 more.
        ("0", "0.390625", 0, 1),
        ("0.1953125", "0.390625", 0, 1),  # reaches just up to the second centre
        ("0.2", "0.390625", 1, 2),  # misses the first centre, holds the second
        ("0.2", "0.1", 0, 1),  # between two centres: the pixel it lies in
        ("99.9", "0.1", 255, 256),
        ("-0.75", "1.140625", 0, 1),  # up to one pixel over the edge is cut off
        ("99.609375", "1.390625", 255, 256),
    ],
)
def test_a_pixel_belongs_to_a_box_that_holds_its_centre(
    tmp_path: Path, x: str, w: str, left: int, right: int
) -> None:
    path = image(tmp_path / "a.png")
    [lesion] = read_boxes(boxes(tmp_path, f"{HEADER}a.png,{x},0,{w},50\n")).lesions(path)
    np.testing.assert_array_equal(lesion, rectangle(0, GRID, left, right))


def test_each_image_has_its_own_boxes(tmp_path: Path) -> None:
    one, two, bare = (image(tmp_path / name) for name in ("1.png", "2.png", "3.png"))
    rows = "1.png,0,0,10,10\n2.png,0,0,50,50\n1.png,80,30,10,10\n"
    found = read_boxes(boxes(tmp_path, HEADER + rows))
    assert [len(found.lesions(path)) for path in (one, two, bare)] == [2, 1, 0]
    np.testing.assert_array_equal(found.lesions(two)[0], rectangle(0, GRID, 0, HALF))


def test_an_image_is_known_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "sub" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    same_name = image(tmp_path / "other" / "a.png")
    found = read_boxes(boxes(tmp_path, f"{HEADER}{path},0,0,10,10\n"))
    monkeypatch.chdir(tmp_path)
    for known in (path, Path("sub/a.png"), Path("other/../sub/a.png"), Path("link/a.png")):
        assert len(found.lesions(known)) == 1
    assert found.lesions(same_name) == ()


@pytest.mark.parametrize(
    ("second", "lesions"),
    [
        ("0,0,40,40", 1),  # the same box
        ("10,0,40,40", 1),  # shares 30/40 = 3/4 of either
        ("10.1,0,40,40", 2),  # a little less
        ("30,20,10,10", 1),  # wholly inside the first
        ("35,0,20,20", 2),  # 5/20 of the smaller
        ("60,0,40,40", 2),  # apart
        ("50,45,40,5", 2),  # apart in both directions
    ],
)
def test_two_readers_boxes_of_one_lesion_are_one(tmp_path: Path, second: str, lesions: int) -> None:
    path = image(tmp_path / "a.png")
    rows = f"a.png,0,0,40,40\na.png,{second}\n"
    found = read_boxes(boxes(tmp_path, HEADER + rows)).lesions(path)
    assert len(found) == lesions
    # Nothing of either is lost.
    apart = [
        read_boxes(boxes(tmp_path, f"{HEADER}a.png,{box}\n")).lesions(path)[0]
        for box in ("0,0,40,40", second)
    ]
    np.testing.assert_array_equal(np.any(found, axis=0), np.any(apart, axis=0))


def test_boxes_that_chain_up_are_one_lesion(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png")
    rows = "a.png,16,0,40,40\na.png,0,0,40,40\na.png,8,0,40,40\n"
    [lesion] = read_boxes(boxes(tmp_path, HEADER + rows)).lesions(path)
    assert lesion[0].sum() == round(56 / 100 * GRID)


def test_quotes_other_columns_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = image(tmp_path / "a, b.png")
    text = '\ufeffsource,h,w,y,x,file\r\nrsna,25,100,0,0,"a, b.png"\r\n'
    [lesion] = read_boxes(boxes(tmp_path, text)).lesions(path)
    np.testing.assert_array_equal(lesion, rectangle(0, HALF, 0, GRID))


def test_boxes_lie_on_the_image_as_it_is_shown(tmp_path: Path) -> None:
    """A photograph stored on its side: 100 x 50 in the file, 50 x 100 on the screen."""
    upright = Image.Exif()
    upright[0x0112] = 6
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(noise(50, 100), "JPEG", exif=upright))
    [lesion] = read_boxes(boxes(tmp_path, HEADER + "a.jpg,0,50,50,50\n")).lesions(path)
    np.testing.assert_array_equal(lesion, rectangle(HALF, GRID, 0, GRID))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks column file, h, w, x, y"),
        (HEADER, "holds no box"),
        ("file,x,y,w\na.png,0,0,1\n", "lacks column h"),
        (HEADER + "a.png,0,0,9,9\n,0,0,9,9\n", "line 3: there is no file"),
        (HEADER + "a.png,0,0,9,9\na.png,0,0,9\n", "line 3: .* must be numbers"),
        (HEADER + "a.png,0,zero,9,9\n", "line 2: .* must be numbers"),
        (HEADER + "a.png,0,0,0,9\n", "line 2: the box is empty"),
        (HEADER + "a.png,0,0,9,-9\n", "line 2: the box is empty"),
        (HEADER + "a.png,nan,0,9,9\n", "line 2: the box is empty or infinite"),
        (HEADER + "a.png,0,0,inf,9\n", "line 2: the box is empty or infinite"),
        (HEADER + "a.png,92.5,0,9,9\n", r"line 2: .* 1\.5 pixels out of the image of 100 x 50"),
        (HEADER + "a.png,0,42.5,9,9\n", r"line 2: .* 1\.5 pixels out"),
        (HEADER + "a.png,-2,0,9,9\n", "line 2: .* 2 pixels out"),
        (HEADER + "a.png,0,-2,9,9\n", "line 2: .* 2 pixels out"),
        (HEADER + "a.png,100,0,1,9\n", "line 2: the box lies outside"),
        (b"file,x,y,w,h\n\xff\xfe,0,0,1,1\n", "cannot be read"),
    ],
)
def test_what_no_boxes_can_be_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    image(tmp_path / "a.png")
    file = boxes(tmp_path, text)
    with pytest.raises(SampleListError, match=said) as caught:
        read_boxes(file)
    assert str(file) in str(caught.value)


def test_an_image_that_is_missing_or_none_is_named_with_the_line(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b""))
    with pytest.raises(DataError, match=r"line 3: there is no image .*none\.png"):
        read_boxes(boxes(tmp_path, HEADER + "a.png,0,0,9,9\nnone.png,0,0,9,9\n"))
    for name in ("b.png", "c.png", "../" + tmp_path.name):
        with pytest.raises(DataError, match=r"line 2: .* the image cannot be read"):
            read_boxes(boxes(tmp_path, f"{HEADER}{name},0,0,9,9\n"))


def test_a_missing_file_of_boxes_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(SampleListError, match=str(file)):
            read_boxes(file)


# --- masks --------------------------------------------------------------------------------------


def test_connected_parts_of_a_mask_are_lesions(tmp_path: Path) -> None:
    path = image(tmp_path / "abnormal" / "0001.jpg", 64, 64)
    pixels = np.zeros((64, 64), np.uint8)
    pixels[0:16, 0:32] = 255
    pixels[16:20, 32:40] = 1  # touches by a corner
    pixels[40:64, 60:64] = 7
    mask(tmp_path / "masks" / "0001.png", pixels)
    upper, lower = read_masks(tmp_path / "masks").lesions(path)
    np.testing.assert_array_equal(
        upper, rectangle(0, 64, 0, 128) | rectangle(64, 80, 128, 160)
    )  # 256 / 64 = 4 grid pixels for each of the mask
    np.testing.assert_array_equal(lower, rectangle(160, 256, 240, 256))


def test_a_mask_larger_than_the_grid_is_seen_at_the_centres_of_its_pixels(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 60, 60)
    pixels = np.zeros((GRID * 3, GRID * 3), np.uint8)
    pixels[30:36, 60:66] = 255  # two grid pixels each way
    pixels[301, 401] = 255  # one centre: 3 * 100 + 1, 3 * 133 + 2 is none
    pixels[601, 601] = 255  # the centre of grid pixel 200, 200
    mask(tmp_path / "masks" / "a.png", pixels)
    found = read_masks(tmp_path / "masks").lesions(path)
    expected = [(10, 12, 20, 22), (100, 101, 133, 134), (200, 201, 200, 201)]
    assert len(found) == 3
    for lesion, place in zip(found, expected, strict=True):
        np.testing.assert_array_equal(lesion, rectangle(*place))


def test_masks_of_a_box_and_boxes_agree(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 300, 200)
    pixels = np.zeros((200, 300), np.uint8)
    pixels[21:64, 133:190] = 255
    mask(tmp_path / "masks" / "a.png", pixels)
    [by_mask] = read_masks(tmp_path / "masks").lesions(path)
    [by_box] = read_boxes(boxes(tmp_path, HEADER + "a.png,133,21,57,43\n")).lesions(path)
    np.testing.assert_array_equal(by_mask, by_box)


def test_images_without_a_mask_or_with_an_empty_one_are_not_annotated(tmp_path: Path) -> None:
    paths = [image(tmp_path / name, 64, 64) for name in ("a.png", "b.png")]
    mask(tmp_path / "masks" / "b.png", np.zeros((64, 64), np.uint8))
    found = read_masks(tmp_path / "masks")
    assert [found.lesions(path) for path in paths] == [(), ()]


def test_masks_of_phantoms_are_read(phantoms: Path) -> None:
    found = read_masks(phantoms / "masks")
    for path in sorted((phantoms / "abnormal").iterdir()):
        with Image.open(phantoms / "masks" / path.name) as truth:
            large = truth.resize((GRID, GRID), Image.Resampling.NEAREST)
        lesions = found.lesions(path)
        np.testing.assert_array_equal(np.any(lesions, axis=0), np.asarray(large) > 0)
        assert np.sum(lesions, axis=0).max() == 1


def test_two_images_never_share_a_mask(tmp_path: Path) -> None:
    one, two = (image(tmp_path / kind / "0.png", 64, 64) for kind in ("abnormal", "other"))
    mask(tmp_path / "masks" / "0.png", np.eye(64, dtype=np.uint8))
    found = read_masks(tmp_path / "masks")
    assert len(found.lesions(one)) == len(found.lesions(one)) == 1
    with pytest.raises(DataError, match="would share the mask"):
        found.lesions(two)


def test_a_mask_of_other_proportions_is_refused(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 100, 50)
    for rows, columns in ((50, 100), (100, 201)):
        mask(tmp_path / "masks" / "a.png", np.eye(rows, columns, dtype=np.uint8))
        assert len(read_masks(tmp_path / "masks").lesions(path)) == 1
    mask(tmp_path / "masks" / "a.png", np.eye(100, 50, dtype=np.uint8))
    with pytest.raises(DataError, match=r"50 x 100 pixels, its image .* 100 x 50"):
        read_masks(tmp_path / "masks").lesions(path)


def test_a_mask_of_noise_is_refused(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 100, 100)
    pixels = np.zeros((100, 100), np.uint8)
    pixels[::2, ::2] = 1
    mask(tmp_path / "masks" / "a.png", pixels)
    with pytest.raises(DataError, match="2500 parts"):
        read_masks(tmp_path / "masks").lesions(path)


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png")
    file = tmp_path / "masks" / "a.png"
    mask(file, noise())
    found = read_masks(tmp_path / "masks")
    file.write_bytes(b"no image")
    with pytest.raises(DataError, match=rf"{file}.*corrupt_image"):
        found.lesions(path)
    file.unlink()
    with pytest.raises(DataError, match=str(file)):
        found.lesions(path)


def test_a_folder_without_masks_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=str(folder)):
            read_masks(folder)
    mask(tmp_path / "a.png", noise())
    mask(tmp_path / "a.PNG", noise())
    with pytest.raises(DataError, match="masks of the same image"):
        read_masks(tmp_path)
