"""Secondary Capture (PS3.3, A.8.1): the overlay with a legend, for every viewer."""

import numpy as np
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from wscxr.imaging import Radiograph
from wscxr.results.dicom.identity import RESEARCH
from wscxr.results.dicom.target import Target
from wscxr.results.png import display_grey, overlay

_SHORTEST, _LONGEST = 768, 1024
"""Bounds on the longer side, in pixels: the legend must be legible, the file not too large. The map
is far coarser, and the radiograph itself lies beside it."""


def secondary_capture(target: Target) -> Dataset:
    """Draw the anomaly map over the radiograph, and the legend below it.

    The picture has 768 to 1024 pixels on its longer side; nothing is written over the anatomy.
    """
    picture = _with_legend(_overlay(target), target)
    source = target.source
    result = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=np.asarray(picture),
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
    return result


def _overlay(target: Target) -> Image.Image:
    radiograph = target.radiograph
    longest = max(radiograph.width, radiograph.height)
    share = min(max(longest, _SHORTEST), _LONGEST) / longest
    if share != 1:
        size = (round(radiograph.width * share), round(radiograph.height * share))
        resized = display_grey(radiograph).resize(size, Image.Resampling.BILINEAR)
        radiograph = Radiograph(np.asarray(resized), radiograph.format)
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
