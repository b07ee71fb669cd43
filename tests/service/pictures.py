"""Files of every kind a client may send."""

import zlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.helpers import encode, raw_png


def grey(width: int = 80, height: int = 64, *, seed: int = 0) -> Image.Image:
    """A smooth random grey picture."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 10), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def png(seed: int = 0, width: int = 80, height: int = 64) -> bytes:
    return encode(grey(width, height, seed=seed))


def png_of_zeros(width: int, height: int, *, rows: int) -> bytes:
    """A PNG whose header says what it likes; `rows` of zeros compress to almost nothing."""
    return raw_png(width, height, body=zlib.compress(bytes(rows * (width + 1))))


def animated_png() -> bytes:
    return encode(grey(), save_all=True, append_images=[grey(seed=1)])


def two_page_tiff() -> bytes:
    return encode(grey(), "TIFF", save_all=True, append_images=[grey(seed=1)])


def text_bomb() -> bytes:
    """A small picture with a text chunk that inflates to 64 MB."""
    info = PngInfo()
    info.add_text("note", "0" * (64 * 1024 * 1024), zip=True)
    return encode(grey(), pnginfo=info)


def sixteen_bit() -> bytes:
    return encode(np.asarray(grey(), dtype=np.uint16) * 257)


def with_alpha() -> bytes:
    image = grey().convert("LA")
    image.putalpha(grey(seed=1))
    return encode(image)
