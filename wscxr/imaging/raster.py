"""PNG and JPEG -> Radiograph, through Pillow."""

import io

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile

from wscxr.errors import CorruptImage, ImageError, ImageTooSmall, MultiFrameImage, TooManyPixels
from wscxr.imaging import jpeg, png
from wscxr.imaging.limits import ImageLimits
from wscxr.imaging.radiograph import Radiograph

_PNG = b"\x89PNG\r\n\x1a\n"
RASTER_SIGNATURES = (_PNG, b"\xff\xd8\xff")
"""First bytes of the formats read here: PNG (ISO/IEC 15948, 5.2) and JPEG (SOI, next marker)."""


def read_raster(data: bytes, limits: ImageLimits) -> Radiograph:
    """Decode one PNG or JPEG to grey.

    Colour becomes luma (ITU-R 601-2), transparency lies over black as the air of a radiograph
    does, 16-bit grey keeps its depth, and the EXIF orientation is applied.

    Parameters
    ----------
    data
        A file that starts with one of `RASTER_SIGNATURES`.
    limits
        Checked against the header before decoding.

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
            # Pillow decodes what is left of a damaged picture and does not report it.
            png.check_whole(data) if is_png else jpeg.check_intact(data)
            image.load()
            grey = _to_grey(ImageOps.exif_transpose(image))
            return Radiograph(pixels=np.array(grey), format=str(image.format))
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise anything on hostile bytes.
        raise CorruptImage("the image is truncated or damaged") from error


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


def _to_grey(image: Image.Image) -> Image.Image:
    """Bring any Pillow mode to ``L`` (8 bits) or ``I;16`` (16 bits)."""
    if image.mode == "I;16":
        return image
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode in ("P", "CMYK", "PA"):
        image = image.convert("RGB")
    return image.convert("L")
