"""Secondary Capture (PS3.3, A.8.1): the overlay with a legend, for every viewer."""

import numpy as np
import simplejpeg
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from wscxr.imaging import Radiograph
from wscxr.results.dicom.capture import Encoding
from wscxr.results.dicom.identity import RESEARCH
from wscxr.results.dicom.target import Target
from wscxr.results.png import overlay, resized_grey

_SHORTEST = 768
"""Least pixels on the longer side, unless the settings allow fewer: the legend must be legible."""

_QUALITY = 90
"""Of JPEG: the letters of the legend have no visible halo."""


def secondary_capture(target: Target) -> Dataset:
    """Draw the anomaly map over the radiograph, and the legend below it.

    Nothing is written over the anatomy. Size and encoding are those of `Target.capture`.
    """
    picture = np.asarray(_with_legend(_overlay(target), target))
    source = target.source
    result = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # that of the source follows
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **target.common,
    )
    result.ConversionType = "WSD"
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.BurnedInAnnotation = "YES" if source.get("BurnedInAnnotation") == "YES" else "NO"
    result.DerivationDescription = f"Anomaly map over the radiograph. {RESEARCH}"
    if source.get("BodyPartExamined"):
        result.BodyPartExamined = source.BodyPartExamined
    origin = Dataset()
    origin.ReferencedSOPClassUID = source.SOPClassUID
    origin.ReferencedSOPInstanceUID = source.SOPInstanceUID
    result.SourceImageSequence = [origin]
    if target.capture.encoding is Encoding.JPEG:
        _compress(result, picture)
    return result


def _compress(result: Dataset, picture: NDArray[np.uint8]) -> None:
    """Encode the pixels as JPEG Baseline (PS3.5, 8.2.1; PS3.3, C.7.6.1.1.5)."""
    jpeg = simplejpeg.encode_jpeg(picture, quality=_QUALITY, colorsubsampling="422")
    result.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    result.PhotometricInterpretation = "YBR_FULL_422"
    result.PixelData = encapsulate([jpeg])
    result["PixelData"].VR = "OB"
    result["PixelData"].is_undefined_length = True
    result.LossyImageCompression = "01"
    result.LossyImageCompressionRatio = round(picture.nbytes / len(jpeg), 2)
    result.LossyImageCompressionMethod = "ISO_10918_1"


def _overlay(target: Target) -> Image.Image:
    radiograph = target.radiograph
    longest = max(radiograph.width, radiograph.height)
    wanted = min(max(longest, _SHORTEST), target.capture.longest)
    if wanted != longest:
        share = wanted / longest
        size = (round(radiograph.width * share), round(radiograph.height * share))
        grey = np.asarray(resized_grey(radiograph, size))
        radiograph = Radiograph(grey, radiograph.format)
    return overlay(radiograph, target.prediction.anomaly_map, target.prediction.colour_scale)


def _with_legend(picture: Image.Image, target: Target) -> Image.Image:
    prediction, model = target.prediction, target.prediction.model
    lines = [
        f"{prediction.decision.value.upper()}   score {prediction.score:.4g}   "
        f"threshold {prediction.threshold:.4g}",
        f"p-value {prediction.p_value:.3g} (share of normals with such a score or higher)",
        f"model {model.name} {model.version}   {model.sha256[:12]}",
        f"{RESEARCH.upper()}",
    ]
    if target.caution:
        lines.insert(1, target.caution.upper())
    # As large as the longest line allows: legible at any size of the picture.
    size = 32.0
    widest = max(ImageFont.load_default(size).getlength(line) for line in lines)
    size = min(size * 0.94 * picture.width / widest, picture.height / 24)
    font, step = ImageFont.load_default(size), round(1.4 * size)
    legend = Image.new("RGB", (picture.width, picture.height + step * len(lines) + step // 2))
    legend.paste(picture)
    draw = ImageDraw.Draw(legend)
    for place, line in enumerate(lines):
        where = (round(0.03 * picture.width), picture.height + step // 4 + place * step)
        draw.text(where, line, fill=(255, 255, 255), font=font)
    return legend
