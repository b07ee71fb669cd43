"""How well anomaly maps find annotated lesions, beside two maps that never look at the image."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from training.data.annotations import GRID
from training.evaluation.results import Localisation, LocalisationMetrics
from wscxr.errors import DataError, NotEnoughImages

LEVELS = 1 << 16
"""Thresholds tried, at equal distances in the ranking of all pixels."""

TOP_SHARE = 0.1
"""The part of an image, the most anomalous, in which lesions are looked for."""

FOUND_SHARE = 0.25
"""The part of a lesion that must lie there."""

Maps = Sequence[NDArray[np.float32]] | NDArray[np.float32]
"""One map for each image, all of one shape."""

Lesions = Sequence[Sequence[NDArray[np.bool_]]]
"""For each image a mask for each lesion, of the shape of the maps."""


def localise(maps: Sequence[NDArray[np.float32]], lesions: Lesions) -> Localisation:
    """Compare anomaly maps with annotations.

    All pixels of all images are compared on a grid of GRID x GRID. Memory and time grow with their
    number: 1,000 images were seen to take 1.5 GB and half a minute.

    Parameters
    ----------
    maps
        The anomaly map of each annotated image, float32 of shape (H', W'), of any size.
    lesions
        For each of these images its lesions, at least one; bool of shape (GRID, GRID), as
        `training.data.annotations.Annotations.lesions` gives them.

    Raises
    ------
    NotEnoughImages
        There is no image.
    DataError
        The lesions cover every pixel of every image.
    """
    if not maps:
        raise NotEnoughImages("there is no annotated image to measure localisation on")
    regions = np.stack([np.logical_or.reduce(masks) for masks in lesions])
    if regions.all():
        raise DataError("the lesions cover every pixel of every image")
    alone = len(regions) == 1
    constant = np.broadcast_to(np.float32(0), regions.shape)
    return Localisation(
        n_images=len(regions),
        n_lesions=sum(map(len, lesions)),
        model=measure(np.stack([upsample(small) for small in maps]), lesions),
        location_prior=None if alone else measure(location_prior(regions), lesions),
        constant=measure(constant, lesions),
    )


def measure(maps: Maps, lesions: Lesions) -> LocalisationMetrics:
    """All metrics of one kind of map, on a grid of any size.

    Parameters
    ----------
    maps
        For each image, float32 of shape (H, W).
    lesions
        For each image at least one mask, bool of shape (H, W).
    """
    regions = [np.logical_or.reduce(masks) for masks in lesions]
    pixel_auroc, best_iou, threshold = sweep_threshold(maps, regions)
    return LocalisationMetrics(
        pixel_auroc=pixel_auroc,
        pointing_game=pointing_game(maps, regions),
        best_iou=best_iou,
        best_iou_threshold=threshold,
        lesion_recall=lesion_recall(maps, lesions),
    )


def upsample(anomaly_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a map of shape (H', W') to the grid, by the filter that draws it over a radiograph.

    Pixel centres are aligned by halves: the map's corner pixels have their centres half a map
    pixel inside the image.
    """
    large = Image.fromarray(anomaly_map).resize((GRID, GRID), Image.Resampling.BILINEAR)
    return np.asarray(large)


def location_prior(regions: NDArray[np.bool_]) -> NDArray[np.float32]:
    """For each image, the mean of the other images' annotations.

    Parameters
    ----------
    regions
        What is lesion, of shape (n, H, W), n at least 2.

    Returns
    -------
    NDArray[np.float32]
        Of shape (n, H, W), in [0, 1].
    """
    # Differences of whole numbers, so that equal counts are equal values.
    others = regions.sum(axis=0, dtype=np.int32) - regions
    prior: NDArray[np.float32] = others.astype(np.float32) / np.float32(len(regions) - 1)
    return prior


def sweep_threshold(maps: Maps, regions: Iterable[NDArray[np.bool_]]) -> tuple[float, float, float]:
    """Call lesion what reaches a threshold, one for all images, and let it run over all values.

    Where there are more than `LEVELS` different values it runs over so many of them; pixels
    between two count as ties, which moves the AUROC by less than 1e-5.

    Parameters
    ----------
    maps
        For each image, of shape (H, W).
    regions
        For each image what is lesion, bool of shape (H, W); not every pixel of all of them.

    Returns
    -------
    pixel_auroc : float
        Area under the ROC curve over the pixels of all images together.
    best_iou : float
        The largest mean, over images, of intersection over union.
    threshold : float
        The largest threshold that gives it.
    """
    ranking = np.sort(maps, axis=None)
    places = np.linspace(0, len(ranking) - 1, min(LEVELS, len(ranking))).round().astype(np.int64)
    levels = np.unique(ranking[places])
    del ranking
    inside, outside = np.zeros((2, len(levels)), np.int64)
    iou = np.zeros(len(levels))
    for values, region in zip(maps, regions, strict=True):
        level = np.searchsorted(levels, values, side="right") - 1
        hits = np.bincount(level[region], minlength=len(levels))
        others = np.bincount(level[~region], minlength=len(levels))
        inside += hits
        outside += others
        # Called lesion at each threshold: all at its level and above.
        iou += _from_above(hits) / (hits.sum() + _from_above(others))
    auroc = roc_auc_score(
        np.repeat([1, 0], len(levels)),
        np.tile(np.arange(len(levels)), 2),
        sample_weight=np.concatenate([inside, outside]),
    )
    best = len(levels) - 1 - int(iou[::-1].argmax())
    return float(auroc), float(iou[best] / len(maps)), float(levels[best])


def _from_above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return counts[::-1].cumsum()[::-1]


def pointing_game(maps: Maps, regions: Iterable[NDArray[np.bool_]]) -> float:
    """Fraction of images whose largest value lies in a lesion (Zhang et al., IJCV 126, 2018).

    Of several largest values the part inside counts, which is what choosing one by lot gives on
    average. There is no tolerance around the lesions.

    Parameters
    ----------
    maps, regions
        As in `sweep_threshold`.
    """
    return float(
        np.mean(
            [
                region[values == values.max()].mean()
                for values, region in zip(maps, regions, strict=True)
            ]
        )
    )


def lesion_recall(maps: Maps, lesions: Lesions) -> float:
    """Fraction of lesions of which `FOUND_SHARE` lies in the `TOP_SHARE` of the image.

    Pixels that tie for the last places share them evenly, so a constant map finds nothing. No map
    finds a lesion larger than TOP_SHARE / FOUND_SHARE of the image.

    Parameters
    ----------
    maps
        For each image, of shape (H, W).
    lesions
        For each image, masks of shape (H, W).
    """
    found = []
    for values, masks in zip(maps, lesions, strict=True):
        places = TOP_SHARE * values.size
        last = np.sort(values, axis=None)[-int(np.ceil(places))]
        above, tied = values > last, values == last
        share = above + tied * ((places - above.sum()) / tied.sum())
        found += [share[mask].mean() >= FOUND_SHARE for mask in masks]
    return float(np.mean(found))
