"""Small pictures for the pages of reports."""

import base64
import io

import numpy as np
from PIL import Image

from wscxr.imaging import Radiograph

SIDE = 320
"""Longest side of a picture, in pixels: a whole gallery stays below 2 MB."""

_JPEG_QUALITY = 85


def shrunk(radiograph: Radiograph) -> Radiograph:
    """The radiograph as 8-bit grey at display size; 16 bits are stretched as by `overlay_png`."""
    pixels = radiograph.pixels
    if radiograph.pixels.dtype == np.uint16:
        pixels = np.interp(pixels, (pixels.min(), pixels.max()), (0, 255)).round().astype(np.uint8)
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    return Radiograph(pixels=np.array(picture), format=radiograph.format)


def picture(png: bytes) -> Image.Image:
    """Open a PNG file."""
    return Image.open(io.BytesIO(png))


def jpeg_uri(picture: Image.Image) -> str:
    """Encode a picture as a ``data:`` URI of a JPEG file."""
    file = io.BytesIO()
    # Without subsampling, which would wash out the outlines.
    picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
