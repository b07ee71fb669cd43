"""PNG and JPEG -> Radiograph, through Pillow."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile

from wscxr.errors import CorruptImage, ImageTooSmall, MultiFrameImage, TooManyPixels, WscxrError
from wscxr.imaging import jpeg, png
from wscxr.imaging.limits import Admit, ImageLimits
from wscxr.imaging.radiograph import Radiograph
from wscxr.imaging.reduction import Grey, reduce

_PNG = b"\x89PNG\r\n\x1a\n"
RASTER_SIGNATURES = (_PNG, b"\xff\xd8\xff")
"""First bytes of the formats read here: PNG (ISO/IEC 15948, 5.2) and JPEG (SOI, next marker)."""

_ORIENTATION = 0x0112
"""EXIF tag of the orientation (CIPA DC-008, 4.6.5.1)."""

_ON_ITS_SIDE = (5, 6, 7, 8)
"""Orientations whose rows are the columns of the upright picture."""

_STRIP = 1 << 20
"""Pixels that are brought to grey at a time."""


def read_raster(data: bytes, limits: ImageLimits, admit: Admit = lambda _: None) -> Radiograph:
    """Decode one PNG or JPEG to grey.

    Colour becomes luma (ITU-R 601-2), transparency lies over black as the air of a radiograph
    does, 16-bit grey keeps its depth, and the EXIF orientation is applied.

    Parameters
    ----------
    data
        A file that starts with one of `RASTER_SIGNATURES`.
    limits
        Checked against the header before decoding.
    admit
        Called with the bytes of memory that decoding needs, before it starts.

    Raises
    ------
    CorruptImage, MultiFrameImage, ImageTooSmall, TooManyPixels, TooManyScans
        See `wscxr.errors`.
    """
    is_png = data.startswith(_PNG)
    try:
        # Before Pillow, whose own readers of headers take a while for many chunks or segments.
        png.check_work(data) if is_png else jpeg.check_work(data, limits)
        # Not `Image.open`, which holds images to a limit of Pillow's own: one for the process.
        with (PngImageFile if is_png else jpeg_factory)(io.BytesIO(data)) as image:
            _check_header(image, limits)
            admit(_working_bytes(image))
            orientation = image.getexif().get(_ORIENTATION)
            if not is_png:
                return Radiograph(_JpegPicture(data, image.size, orientation), "JPEG")
            # Pillow decodes what is left of a damaged picture and does not report it.
            png.check_whole(data)
            image.load()
            return Radiograph(_upright(_to_grey(image), orientation), "PNG")
    except (WscxrError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise anything on hostile bytes.
        raise CorruptImage("the image is truncated or damaged") from error


class _JpegPicture:
    """A JPEG file, decoded at the size that is asked for."""

    dtype: np.dtype[np.unsignedinteger] = np.dtype(np.uint8)

    def __init__(self, data: bytes, size: tuple[int, int], orientation: object) -> None:
        self._data = data
        self._orientation = orientation
        width, height = size
        turned = orientation in _ON_ITS_SIDE
        self.shape = (width, height) if turned else (height, width)

    def decode(self, factor: int) -> Grey:
        """See `wscxr.imaging.radiograph.Picture.decode`."""
        if factor > 1 and self._orientation in _TURNS:
            # Squares that reach out of the picture must lie at its right and at its bottom.
            return reduce(self.decode(1), factor)
        return _upright(jpeg.decode_grey(self._data, factor), self._orientation)


def _check_header(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"the image has {width} x {height} pixels; the limit is {limits.max_pixels} in all"
        )
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(
            f"the image is {width} x {height} pixels; each side needs {limits.min_side}"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise MultiFrameImage(f"the file holds {frames} pictures; send one")


def _working_bytes(image: Image.Image) -> int:
    """Memory that decoding needs at most, in bytes, by the header.

    Pillow holds grey in 1 byte a pixel or 2 and everything else in 4, libjpeg the coefficients of a
    progressive stream in 2 bytes a component, and the grey values come twice where they are turned.
    """
    depth = {"1": 1, "L": 1, "P": 1, "I;16": 2}.get(image.mode, 4)
    coefficients = 2 * len(image.getbands()) if image.info.get("progressive") else 0
    grey = 4 if image.mode == "I;16" else 2
    return image.width * image.height * (depth + coefficients + grey)


def _to_grey(image: Image.Image) -> Grey:
    """Bring any Pillow mode to grey values of 8 bits, ``I;16`` to 16 bits.

    In strips: the colours of a large picture need several times its grey values, and copies of them
    are made on the way.
    """
    if image.mode == "I;16":
        return np.array(image, dtype=np.uint16)
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        grey[top : top + rows] = np.asarray(_strip_to_grey(strip))
    return grey


def _strip_to_grey(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode in ("P", "CMYK", "PA"):
        image = image.convert("RGB")
    return image.convert("L")


_TURNS: dict[object, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
"""What brings a picture of each EXIF orientation upright; 1 is upright, others mean nothing."""


def _upright(pixels: Grey, orientation: object) -> Grey:
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))
