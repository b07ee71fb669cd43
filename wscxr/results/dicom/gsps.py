"""Grayscale Softcopy Presentation State (PS3.3, A.33.1): outlines over the source image."""

import numpy as np
from highdicom import pr
from highdicom.color import CIELabColor
from pydicom import Dataset

from wscxr.results.dicom.identity import RESEARCH
from wscxr.results.dicom.region import outlines
from wscxr.results.dicom.target import Target

_YELLOW = CIELabColor(90.0, 0.0, 80.0)


def presentation_state(target: Target) -> Dataset:
    """Draw the outlines of the region, and score and decision in a corner, over the source."""
    source, prediction = target.source, target.prediction
    layer = pr.GraphicLayer("ANOMALY", 1, RESEARCH, _YELLOW)
    rows, columns = int(source.Rows), int(source.Columns)
    # Coordinates of pixels count from 1 at their centres' corner (PS3.3, C.10.5.1.2).
    graphics = [
        pr.GraphicObject("POLYLINE", np.clip(line + 1, 1, [columns, rows]), "PIXEL")
        for line in outlines(target)
    ]
    caution = f" {target.caution}." if target.caution else ""
    text = pr.TextObject(
        f"{prediction.decision.value}: score {prediction.score:.4g}, "
        f"threshold {prediction.threshold:.4g}.{caution} {RESEARCH}",
        "DISPLAY",
        bounding_box=(0.02, 0.02, 0.6, 0.08),
    )
    annotation = pr.GraphicAnnotation(
        [source], layer, graphic_objects=graphics or None, text_objects=[text]
    )
    return pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        content_label="ANOMALY",
        content_description=RESEARCH,
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        **target.device,
        **target.common,
    )
