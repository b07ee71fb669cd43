"""Files of every kind a client may send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def grey(width: int = 80, height: int = 64, *, seed: int = 0) -> Image.Image:
    """A smooth random grey picture."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 10), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png(seed: int = 0, width: int = 80, height: int = 64) -> bytes:
    return encoded(grey(width, height, seed=seed))


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png_of_zeros(width: int, height: int, *, rows: int) -> bytes:
    """A PNG whose header says what it likes; `rows` of zeros compress to almost nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(rows * (width + 1))))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def animated_png() -> bytes:
    return encoded(grey(), save_all=True, append_images=[grey(seed=1)])


def two_page_tiff() -> bytes:
    return encoded(grey(), "TIFF", save_all=True, append_images=[grey(seed=1)])


def text_bomb() -> bytes:
    """A small picture with a text chunk that inflates to 64 MB."""
    info = PngInfo()
    info.add_text("note", "0" * (64 * 1024 * 1024), zip=True)
    return encoded(grey(), pnginfo=info)


def sixteen_bit() -> bytes:
    return encoded(Image.fromarray(np.asarray(grey(), dtype=np.uint16) * 257))


def with_alpha() -> bytes:
    image = grey().convert("LA")
    image.putalpha(grey(seed=1))
    return encoded(image)
