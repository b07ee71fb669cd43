"""Bytes -> Radiograph: what is read, and what every bad input gets."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin
from pydantic import ValidationError

from tests.helpers import encode, many_scans, noise, png_chunk, raw_png
from wscxr.errors import (
    BlankImage,
    CorruptImage,
    EmptyFile,
    FileTooLarge,
    ImageError,
    ImageTooSmall,
    MultiFrameImage,
    TooManyPixels,
    TooManyScans,
    UnsupportedFormat,
)
from wscxr.imaging import ImageLimits, Radiograph, raster, read_radiograph

GREY = noise()
COLOUR = np.stack([noise(seed=1), noise(seed=2), noise(seed=3)], axis=2)
GREY16 = np.random.default_rng(4).integers(0, 2**16, (40, 48)).astype(np.uint16)


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601-2."""
    weighted: np.ndarray = rgb.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return weighted


def with_orientation(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


# --- what is read -------------------------------------------------------------------------------


def test_8_bit_grey_is_read_as_it_is() -> None:
    found = read_radiograph(encode(GREY))
    np.testing.assert_array_equal(found.pixels, GREY)
    assert (found.width, found.height, found.bits, found.format) == (48, 40, 8, "PNG")


def test_16_bit_grey_keeps_its_depth() -> None:
    found = read_radiograph(encode(GREY16))
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, GREY16)
    assert (found.width, found.height, found.bits) == (48, 40, 16)


def test_1_bit_becomes_black_and_white() -> None:
    bits = GREY > 127
    found = read_radiograph(encode(Image.fromarray(bits)))
    np.testing.assert_array_equal(found.pixels, np.where(bits, 255, 0))


def test_colour_becomes_luma() -> None:
    found = read_radiograph(encode(COLOUR))
    assert found.bits == 8
    np.testing.assert_allclose(found.pixels, luma(COLOUR), atol=1)


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(COLOUR).quantize(32)
    expected = luma(np.asarray(image.convert("RGB")))
    np.testing.assert_allclose(read_radiograph(encode(image)).pixels, expected, atol=1)


def test_a_palette_with_transparency_lies_over_black() -> None:
    image = Image.fromarray(COLOUR).quantize(32)
    alpha = bytes([0, 255, 128] + [255] * 29)
    found = read_radiograph(encode(image, transparency=alpha))
    opacity = np.frombuffer(alpha, np.uint8)[np.asarray(image)] / 255
    expected = luma(np.asarray(image.convert("RGB"))) * opacity
    np.testing.assert_allclose(found.pixels, expected, atol=1.5)
    assert (found.pixels[opacity == 0] == 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_black(mode: str) -> None:
    alpha = noise(seed=9)
    base = Image.fromarray(COLOUR).convert(mode)
    base.putalpha(Image.fromarray(alpha))
    grey = luma(COLOUR) if mode == "RGBA" else np.asarray(Image.fromarray(COLOUR).convert("L"))
    found = read_radiograph(encode(base))
    np.testing.assert_allclose(found.pixels, grey * (alpha / 255.0), atol=1.5)


@pytest.mark.parametrize(
    ("picture", "transparent"),
    [(GREY, int(GREY[3, 4])), (COLOUR, tuple(int(v) for v in COLOUR[3, 4]))],
    ids=["L", "RGB"],
)
def test_a_transparent_colour_is_black(picture: np.ndarray, transparent: object) -> None:
    found = read_radiograph(encode(picture, transparency=transparent))
    assert found.pixels[3, 4] == 0
    opaque = read_radiograph(encode(picture)).pixels
    same = found.pixels == opaque
    assert not same[3, 4]
    assert same.mean() > 0.95


def test_a_grey_jpeg_is_read() -> None:
    smooth = np.tile(np.linspace(10, 240, 64).astype(np.uint8), (48, 1))
    found = read_radiograph(encode(smooth, "JPEG", quality=95))
    assert (found.format, found.bits, found.width, found.height) == ("JPEG", 8, 64, 48)
    np.testing.assert_allclose(found.pixels, smooth, atol=4)


def test_a_cmyk_jpeg_shows_the_same_picture_as_an_rgb_one() -> None:
    x = np.linspace(0, 255, 64)
    smooth = np.stack([np.tile(x, (48, 1)), np.tile(255 - x, (48, 1)), np.full((48, 64), 90.0)], 2)
    image = Image.fromarray(smooth.astype(np.uint8))
    found = read_radiograph(encode(image.convert("CMYK"), "JPEG", quality=95))
    assert found.pixels.dtype == np.uint8
    np.testing.assert_allclose(found.pixels, luma(smooth), atol=6)


@pytest.mark.parametrize(
    ("tag", "turn"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(np.transpose(a), 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_the_exif_orientation_is_applied(
    tag: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    for picture in (GREY, GREY16):
        found = read_radiograph(encode(picture, exif=with_orientation(tag)))
        np.testing.assert_array_equal(found.pixels, turn(picture))
    jpeg = encode(GREY, "JPEG", exif=with_orientation(tag))
    plain = read_radiograph(encode(GREY, "JPEG")).pixels
    np.testing.assert_array_equal(read_radiograph(jpeg).pixels, turn(plain))


def test_the_format_is_known_by_the_bytes_and_names_play_no_part() -> None:
    assert read_radiograph(encode(COLOUR, "JPEG")).format == "JPEG"
    assert read_radiograph(encode(COLOUR, "PNG")).format == "PNG"


def test_interlaced_and_progressive_files_are_read() -> None:
    plain = read_radiograph(encode(COLOUR, "JPEG", quality=90)).pixels
    progressive = read_radiograph(encode(COLOUR, "JPEG", quality=90, progressive=True)).pixels
    np.testing.assert_array_equal(progressive, plain)


# --- bad input ----------------------------------------------------------------------------------


def multi_picture_jpeg() -> bytes:
    image = Image.fromarray(COLOUR)
    return encode(image, "MPO", save_all=True, append_images=[image.rotate(90)])


def animated_png() -> bytes:
    image = Image.fromarray(GREY)
    return encode(image, save_all=True, append_images=[image.rotate(90)])


def bomb(kind: bytes, head: bytes) -> bytes:
    """A PNG of ordinary size with a chunk of 100 kB that inflates to 100 MB."""
    payload = zlib.compress(bytes(100_000_000), 9)
    body = zlib.compress(b"".join(b"\0" + bytes(GREY[row]) for row in range(40)))
    return raw_png(48, 40, extra=png_chunk(kind, head + payload), body=body)


BAD: dict[str, tuple[Callable[[], bytes], type[ImageError], str]] = {
    "empty": (lambda: b"", EmptyFile, "empty_file"),
    "text": (lambda: b"this is not an image", UnsupportedFormat, "unsupported_format"),
    "one byte": (lambda: b"\x89", UnsupportedFormat, "unsupported_format"),
    "gif": (lambda: encode(GREY, "GIF"), UnsupportedFormat, "unsupported_format"),
    "tiff": (lambda: encode(GREY, "TIFF"), UnsupportedFormat, "unsupported_format"),
    "webp": (lambda: encode(COLOUR, "WEBP"), UnsupportedFormat, "unsupported_format"),
    "bmp": (lambda: encode(GREY, "BMP"), UnsupportedFormat, "unsupported_format"),
    "svg": (lambda: b"<svg></svg>", UnsupportedFormat, "unsupported_format"),
    "png signature only": (lambda: encode(GREY)[:8], CorruptImage, "corrupt_image"),
    "jpeg signature only": (lambda: b"\xff\xd8\xff", CorruptImage, "corrupt_image"),
    "truncated png": (lambda: encode(GREY)[:-200], CorruptImage, "corrupt_image"),
    "truncated jpeg": (lambda: encode(GREY, "JPEG")[:-200], CorruptImage, "corrupt_image"),
    "png header only": (lambda: encode(GREY)[:33], CorruptImage, "corrupt_image"),
    "png without pixels": (lambda: raw_png(40, 40), CorruptImage, "corrupt_image"),
    "png of no size": (lambda: raw_png(0, 0), CorruptImage, "corrupt_image"),
    "1x1": (lambda: encode(GREY[:1, :1]), ImageTooSmall, "image_too_small"),
    "31 rows": (lambda: encode(noise(31, 400)), ImageTooSmall, "image_too_small"),
    "31 columns": (lambda: encode(noise(400, 31), "JPEG"), ImageTooSmall, "image_too_small"),
    "just over the limit": (lambda: raw_png(10_001, 10_000), TooManyPixels, "too_many_pixels"),
    "30000x30000": (lambda: raw_png(30_000, 30_000), TooManyPixels, "too_many_pixels"),
    "bomb of pixels": (lambda: raw_png(2**31 - 1, 2**31 - 1), TooManyPixels, "too_many_pixels"),
    "bomb of text": (lambda: bomb(b"zTXt", b"k\0\0"), CorruptImage, "corrupt_image"),
    "bomb of itext": (lambda: bomb(b"iTXt", b"k\0\1\0\0\0"), CorruptImage, "corrupt_image"),
    "bomb of profile": (lambda: bomb(b"iCCP", b"k\0\0"), CorruptImage, "corrupt_image"),
    "animated png": (animated_png, MultiFrameImage, "multi_frame_image"),
    "multi-picture jpeg": (multi_picture_jpeg, MultiFrameImage, "multi_frame_image"),
    "constant": (lambda: encode(np.full((40, 40), 7, np.uint8)), BlankImage, "blank_image"),
    "constant 16": (lambda: encode(np.full((40, 40), 9, np.uint16)), BlankImage, "blank_image"),
    "all transparent": (
        lambda: encode(np.dstack([COLOUR, np.zeros((40, 48), np.uint8)])),
        BlankImage,
        "blank_image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_error_and_code(name: str) -> None:
    make, error, code = BAD[name]
    with pytest.raises(ImageError) as caught:
        read_radiograph(make())
    assert type(caught.value) is error
    assert caught.value.code == code


@pytest.mark.parametrize("side", [10_001, 13_000, 30_000, 100_000])
def test_a_huge_image_is_refused_before_decoding(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decode)
    with pytest.raises(TooManyPixels, match=f"{side} x {side}"):
        read_radiograph(raw_png(side, side))


def test_a_huge_jpeg_is_refused_by_its_header() -> None:
    data = bytearray(encode(GREY, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(TooManyPixels):
        read_radiograph(bytes(data))


def test_many_scans_of_a_large_picture_are_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    monkeypatch.setattr("simplejpeg.decode_jpeg", decode)
    with pytest.raises(TooManyScans, match="3006 scans of 1000 x 900 pixels"):
        read_radiograph(many_scans(noise(900, 1000), extra=3000))


def test_the_bound_on_scans_counts_their_pixels() -> None:
    data = encode(GREY, "JPEG", progressive=True)
    exact = ImageLimits(max_scanned_pixels=6 * GREY.size)
    assert read_radiograph(data, exact).width == 48
    with pytest.raises(TooManyScans, match="6 scans"):
        read_radiograph(data, ImageLimits(max_scanned_pixels=6 * GREY.size - 1))
    # One scan is no more work than the pixels themselves, which have a limit of their own.
    assert read_radiograph(encode(GREY, "JPEG"), ImageLimits(max_scanned_pixels=1)).width == 48


@pytest.mark.parametrize(
    "flood",
    [
        b"\xff\xd8" + 20_000 * b"\xff\xfe\x00\x02" + encode(GREY, "JPEG")[2:],
        many_scans(GREY, extra=20_000),
        encode(GREY)[:33] + 200_000 * png_chunk(b"teSt", b"") + encode(GREY)[33:],
    ],
    ids=["segments", "scans", "chunks"],
)
def test_a_flood_of_headers_is_refused(flood: bytes) -> None:
    with pytest.raises(CorruptImage, match="too many"):
        read_radiograph(flood)


def test_an_operator_may_raise_the_pixel_limit() -> None:
    """Past Pillow's own limit: the header is accepted, and the missing pixels are the error."""
    with pytest.raises(CorruptImage):
        read_radiograph(raw_png(20_000, 20_000), ImageLimits(max_pixels=500_000_000))
    with pytest.raises(TooManyPixels):
        read_radiograph(raw_png(20_000, 20_000), ImageLimits(max_pixels=399_999_999))


def test_limits_are_inclusive() -> None:
    data = encode(GREY)
    exact = ImageLimits(max_bytes=len(data), max_pixels=40 * 48, min_side=40)
    assert read_radiograph(data, exact).width == 48
    for limits, error in [
        (exact.model_copy(update={"max_bytes": len(data) - 1}), FileTooLarge),
        (exact.model_copy(update={"max_pixels": 40 * 48 - 1}), TooManyPixels),
        (exact.model_copy(update={"min_side": 41}), ImageTooSmall),
    ]:
        with pytest.raises(error):
            read_radiograph(data, limits)


def test_default_limits() -> None:
    limits = ImageLimits()
    assert (limits.max_bytes, limits.max_pixels) == (64 * 1024**2, 100_000_000)
    with pytest.raises(ValidationError):
        ImageLimits(max_pixels=0)


def test_too_large_a_file_is_not_even_looked_at() -> None:
    with pytest.raises(FileTooLarge):
        read_radiograph(b"no image at all", ImageLimits(max_bytes=3))


def test_trailing_bytes_do_no_harm() -> None:
    np.testing.assert_array_equal(read_radiograph(encode(GREY) + b"trailer").pixels, GREY)


def test_one_different_pixel_is_not_blank() -> None:
    pixels = np.full((40, 40), 7, np.uint8)
    pixels[5, 5] = 8
    assert read_radiograph(encode(pixels)).pixels.max() == 8


def test_memory_is_asked_for_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """By kind: grey 1 byte a pixel, 16 bits 2, colour 4, coefficients 2 a component; and grey."""
    asked: list[int] = []
    for data, each in [
        (encode(GREY), 3),
        (encode(GREY16), 6),
        (encode(COLOUR), 6),
        (encode(np.dstack([COLOUR, GREY])), 6),
        (encode(COLOUR, "JPEG"), 6),
        (encode(COLOUR, "JPEG", progressive=True), 12),
    ]:
        asked.clear()
        read_radiograph(data, admit=asked.append)
        assert asked == [each * GREY.size]

    def decode(*_: object) -> None:
        raise AssertionError("a pixel was decoded")

    def refuse(_: int) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decode)
    with pytest.raises(MemoryError):
        read_radiograph(encode(GREY), admit=refuse)


def test_colours_become_grey_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(np.dstack([COLOUR, GREY]))
    whole = read_radiograph(data).pixels
    monkeypatch.setattr(raster, "_STRIP", 7 * 48)
    np.testing.assert_array_equal(read_radiograph(data).pixels, whole)


# --- damage that decoders repair in silence -------------------------------------------------------

WHOLE = {
    "grey": encode(noise(200, 300), "JPEG"),
    "colour": encode(np.dstack([noise(200, 300, seed) for seed in range(3)]), "JPEG"),
    "cmyk": encode(Image.fromarray(noise(200, 300)).convert("CMYK"), "JPEG"),
    "progressive": encode(noise(200, 300), "JPEG", progressive=True),
    "restarts": encode(noise(200, 300), "JPEG", restart_marker_rows=1),
}
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: len(data) // 2],
    "half, closed": lambda data: data[: len(data) // 2] + b"\xff\xd9",
    "no end": lambda data: data[:-2],
    "shifted": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 400 :],
    "wiped": lambda data: data[: len(data) // 2] + bytes(400) + data[len(data) // 2 + 400 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", WHOLE)
def test_a_damaged_jpeg_is_refused(kind: str, damage: str) -> None:
    assert read_radiograph(WHOLE[kind]).width == 300
    with pytest.raises(CorruptImage, match="truncated or damaged"):
        read_radiograph(DAMAGE[damage](WHOLE[kind]))


def pixel_rows(rows: int) -> bytes:
    return zlib.compress(b"".join(b"\0" + bytes(GREY[row]) for row in range(rows)))


@pytest.mark.parametrize("rows", [1, 20, 39])
def test_a_png_without_all_its_rows_is_refused(rows: int) -> None:
    np.testing.assert_array_equal(
        read_radiograph(raw_png(48, 40, body=pixel_rows(40))).pixels, GREY
    )
    with pytest.raises(CorruptImage, match="rows are missing"):
        read_radiograph(raw_png(48, 40, body=pixel_rows(rows)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_the_rows_of_every_kind_of_png_are_counted_right(mode: str) -> None:
    grey = noise(41, 51)
    image = Image.fromarray(grey.astype(np.uint16)) if mode == "I;16" else Image.fromarray(grey)
    assert read_radiograph(encode(image.convert(mode))).height == 41


@pytest.mark.parametrize("missing", [0, 1])
def test_the_rows_of_an_interlaced_png_are_counted_too(missing: int) -> None:
    """Adam7 (ISO/IEC 15948, 8.2): seven small pictures, one after the other."""
    rows = [
        b"\0" + bytes(GREY[row, left::step_x])
        for left, top, step_x, step_y in [
            *[(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)],
            *[(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)],
        ]
        for row in range(top, 40, step_y)
    ]
    header = struct.pack(">IIBBBBB", 48, 40, 8, 0, 0, 0, 1)
    body = zlib.compress(b"".join(rows[: len(rows) - missing]))
    data = b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            *(png_chunk(b"IHDR", header), png_chunk(b"IDAT", body), png_chunk(b"IEND", b"")),
        ]
    )
    if missing:
        with pytest.raises(CorruptImage, match="rows are missing"):
            read_radiograph(data)
    else:
        np.testing.assert_array_equal(read_radiograph(data).pixels, GREY)


def test_one_changed_byte_of_a_png_is_seen() -> None:
    data = bytearray(encode(GREY))
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptImage):
        read_radiograph(bytes(data))


# --- damaged metadata: odd but harmless, and never a warning or a foreign exception --------------


def jpeg_with_exif(exif: bytes) -> bytes:
    return encode(GREY, "JPEG", exif=b"Exif\0\0" + exif)


def broken_multi_picture() -> bytes:
    data = multi_picture_jpeg()
    at = data.index(b"MPF\0") + 4
    return data[:at] + b"XX" + data[at + 2 :]


ODD: dict[str, Callable[[], bytes]] = {
    "broken multi-picture index": broken_multi_picture,
    "exif cut off": lambda: jpeg_with_exif(with_orientation(6).tobytes()[6:22]),
    "exif that points past its end": lambda: jpeg_with_exif(
        b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHII", 0x010E, 2, 500, 9999) + bytes(4)
    ),
    # A text under a tag whose values are numbers: Pillow reads it and fails to write it back.
    "exif of mixed types": lambda: jpeg_with_exif(
        b"MM\0*\0\0\0\x08\0\2"
        + struct.pack(">HHII", 0x0101, 2, 6, 38)
        + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
        + bytes(4)
        + b"hello\0"
    ),
    "exif orientation of a wrong type": lambda: jpeg_with_exif(
        b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHI4s", 0x0112, 2, 4, b"six\0") + bytes(4)
    ),
    "exif orientation out of range": lambda: jpeg_with_exif(with_orientation(77).tobytes()[6:]),
    "animation without frames": lambda: (
        encode(GREY)[:33] + png_chunk(b"acTL", bytes(8)) + encode(GREY)[33:]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_damaged_metadata_gives_a_radiograph_or_an_image_error(name: str) -> None:
    reads_or_refuses(ODD[name]())


def reads_or_refuses(data: bytes) -> None:
    """The contract for any bytes: a usable radiograph or an ImageError, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read_radiograph(data)
        except ImageError:
            return
    assert isinstance(found, Radiograph)
    assert found.pixels.ndim == 2
    assert found.pixels.dtype in (np.uint8, np.uint16)
    assert min(found.width, found.height) >= 32
    assert found.pixels.min() < found.pixels.max()
    assert found.format in {"PNG", "JPEG"}


@cache
def seeds() -> list[bytes]:
    """Valid files of every kind, to be damaged."""
    colour = Image.fromarray(COLOUR)
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "text " * 20, zip=True)
    text.add_itxt("title", "text", zip=True)
    exif = with_orientation(6)
    exif[0x010E] = "description"
    return [
        encode(GREY),
        encode(GREY16),
        encode(Image.fromarray(GREY > 127)),
        encode(COLOUR, pnginfo=text, icc_profile=bytes(200)),
        encode(colour.quantize(16), transparency=bytes([0, 128])),
        encode(colour.convert("RGBA")),
        encode(GREY, exif=exif),
        encode(GREY, "JPEG"),
        encode(COLOUR, "JPEG", progressive=True, exif=exif),
        encode(colour.convert("CMYK"), "JPEG"),
        multi_picture_jpeg(),
        animated_png(),
    ]


def repair(data: bytes) -> bytes:
    """Give every PNG chunk its right CRC again, so that damage reaches the decoder."""
    out, at = io.BytesIO(), 8
    out.write(data[:8])
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + length > len(data):
            break
        out.write(png_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    out.write(data[at:])
    return out.getvalue()


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds())))
    reach = draw(st.sampled_from([16, 64, 256, len(data)]))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, min(reach, len(data) - 1)))
        match draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
        if not data:
            return b""
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    if data.startswith(b"\x89PNG\r\n\x1a\n") and draw(st.booleans()):
        return repair(bytes(data))
    return bytes(data)


@settings(deadline=None, max_examples=400)
@given(damaged_files())
def test_a_damaged_file_gives_a_radiograph_or_an_image_error(data: bytes) -> None:
    reads_or_refuses(data)


@given(head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]), tail=st.binary())
def test_random_bytes_give_an_image_error(head: bytes, tail: bytes) -> None:
    with pytest.raises(ImageError):
        read_radiograph(head + tail)
