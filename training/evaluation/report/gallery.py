"""The gallery of a report, as in Fig. 2 of the paper: best, median and worst of each class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.data.annotations import Annotations
from training.data.images import open_radiograph
from training.data.samples import Label
from training.evaluation.report.pictures import jpeg_uri, picture, shrunk
from training.evaluation.results import Evaluation, ScoredImage
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.golden import TOLERANCE
from wscxr.errors import DataError
from wscxr.imaging import Radiograph
from wscxr.model.calibration import Decision
from wscxr.results.png import ColourScale, heat_png, overlay_png

_MANY = 6
"""With so many images of a class each kind of case is shown twice."""

_OUTLINE = (0, 255, 255)  # Cyan is neither grey nor on the colour map.


@dataclass(frozen=True)
class Case:
    """One image of the gallery.

    Attributes
    ----------
    kind
        ``best``, ``median`` or ``worst`` of its class.
    outcome
        ``found``, ``missed``, ``false alarm`` or ``no alarm``: the decision against the label.
    image
        Its path, label, score, p-value and decision.
    n_lesions
        How many lesions are outlined.
    radiograph, anomaly_map, overlay
        Pictures as ``data:`` URIs of JPEG files, at most `pictures.SIDE` pixels wide and high.
    """

    kind: str
    outcome: str
    image: ScoredImage
    n_lesions: int
    radiograph: str
    anomaly_map: str
    overlay: str


@dataclass(frozen=True)
class Gallery:
    """Cases of both classes, from best to worst.

    Attributes
    ----------
    abnormal, normal
        At most six of each.
    colour_bar
        The colours of the maps from `ColourScale.low` to `ColourScale.high`, as a ``data:`` URI.
    scale
        The bundle's.
    """

    abnormal: tuple[Case, ...]
    normal: tuple[Case, ...]
    colour_bar: str
    scale: ColourScale


def draw_gallery(
    evaluation: Evaluation, bundle: Bundle, annotations: Annotations | None
) -> Gallery:
    """Choose the cases, score them again and draw them.

    Parameters
    ----------
    evaluation
        Names the image files.
    bundle
        The one that was evaluated.
    annotations
        Lesions to outline on abnormal images.

    Raises
    ------
    DataError
        A file cannot be read any more, or gives another score than it did; the message names it.
    """
    scale = bundle.manifest.colour_scale
    drawn = {
        label: tuple(
            _draw(kind, image, bundle, annotations)
            for kind, image in choose_cases(evaluation.images, label)
        )
        for label in Label
    }
    ramp = np.linspace(scale.low, scale.high, 256, dtype=np.float32)[None]
    black = Radiograph(pixels=np.zeros((12, 256), np.uint8), format="PNG")
    return Gallery(
        abnormal=drawn[Label.ABNORMAL],
        normal=drawn[Label.NORMAL],
        colour_bar=jpeg_uri(picture(heat_png(black, ramp, scale))),
        scale=scale,
    )


def choose_cases(images: Sequence[ScoredImage], label: Label) -> Iterator[tuple[str, ScoredImage]]:
    """Best, median and worst images of one class, in this order; no image twice.

    The best abnormal image has the highest score, the best normal one the lowest; images of the
    same score stay in their order. Of six images or more there are two of each kind.
    """
    sign = -1 if label is Label.ABNORMAL else 1
    ordered = sorted((i for i in images if i.label is label), key=lambda image: sign * image.score)
    shown = 2 if len(ordered) >= _MANY else 1
    middle = (len(ordered) - shown) // 2
    kinds: dict[int, str] = {}
    for place in range(shown):
        kinds.setdefault(len(ordered) - 1 - place, "worst")
        kinds.setdefault(place, "best")
    for place in range(middle, middle + shown):
        kinds.setdefault(place, "median")
    for place in sorted(kinds):
        yield kinds[place], ordered[place]


def _draw(kind: str, image: ScoredImage, bundle: Bundle, annotations: Annotations | None) -> Case:
    path = Path(image.path)
    full, _ = open_radiograph(path)
    [prediction] = bundle.predict([full])
    # Written so that NaN fails.
    if not abs(prediction.score - image.score) <= TOLERANCE * max(1.0, abs(image.score)):
        raise DataError(
            f"{path}: the score is {prediction.score:.6f} now, but was {image.score:.6f} in the "
            "evaluation; the file was changed"
        )
    # Folders of normal and of abnormal images often use the same names for different patients.
    annotated = annotations if image.label is Label.ABNORMAL else None
    lesions = annotated.lesions(path) if annotated else ()
    small, scale = shrunk(full), bundle.manifest.colour_scale
    pictures = {
        "radiograph": Image.fromarray(small.pixels).convert("RGB"),
        "anomaly_map": picture(heat_png(small, prediction.anomaly_map, scale)),
        "overlay": picture(overlay_png(small, prediction.anomaly_map, scale)),
    }
    return Case(
        kind=kind,
        outcome=_outcome(image),
        image=image,
        n_lesions=len(lesions),
        **{name: jpeg_uri(_outlined(picture, lesions)) for name, picture in pictures.items()},
    )


def _outcome(image: ScoredImage) -> str:
    match image.label, image.decision:
        case Label.ABNORMAL, Decision.ABNORMAL:
            return "found"
        case Label.ABNORMAL, Decision.NORMAL:
            return "missed"
        case Label.NORMAL, Decision.ABNORMAL:
            return "false alarm"
        case _:
            return "no alarm"


def _outlined(picture: Image.Image, lesions: Sequence[NDArray[np.bool_]]) -> Image.Image:
    """Draw two pixels of each lesion's edge, one on either side."""
    pixels = np.array(picture)
    for lesion in lesions:
        mask = np.asarray(Image.fromarray(lesion).resize(picture.size, Image.Resampling.NEAREST))
        pixels[ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)] = _OUTLINE
    return Image.fromarray(pixels)
