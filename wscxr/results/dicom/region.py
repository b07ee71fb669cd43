"""Where the anomaly map exceeds the threshold."""

from collections.abc import Iterator

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wscxr.results.dicom.target import Target

_MOST = 10
"""Outlines in one result, the largest ones: more would hide the picture."""


def region(target: Target) -> NDArray[np.bool_]:
    """Mask of shape (rows, columns) where the map, drawn as in overlays, exceeds the threshold."""
    size = (target.radiograph.width, target.radiograph.height)
    drawn = Image.fromarray(target.prediction.anomaly_map).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(np.asarray(drawn) > target.prediction.threshold)


def outlines(target: Target) -> list[NDArray[np.float64]]:
    """Outlines of the region, closed, the largest first, at most ten.

    Returns
    -------
    list
        Of shape (n, 2): column and row of the source image, 0 at the edge of its first pixel.
    """
    anomaly_map, threshold = target.prediction.anomaly_map, target.prediction.threshold
    rows, columns = anomaly_map.shape
    scale = np.array([target.radiograph.width / columns, target.radiograph.height / rows])
    edge = np.array([target.radiograph.width, target.radiograph.height])
    # A frame below the threshold closes what runs over the border.
    framed = np.pad(anomaly_map.astype(np.float64), 1, constant_values=-np.inf)
    framed[np.isinf(framed)] = min(float(anomaly_map.min()), threshold) - 1
    found = [
        np.clip((line - 0.5) * scale, 0, edge)
        for line in contourpy.contour_generator(z=framed).lines(threshold)
        if isinstance(line, np.ndarray) and len(line) > 3
    ]
    return sorted(found, key=lambda line: -abs(_area(line)))[:_MOST]


def peaks(target: Target, lines: list[NDArray[np.float64]]) -> Iterator[float]:
    """The largest map value within the bounds of each outline."""
    anomaly_map = target.prediction.anomaly_map
    rows, columns = anomaly_map.shape
    scale = np.array([columns / target.radiograph.width, rows / target.radiograph.height])
    for line in lines:
        low = np.floor(line.min(axis=0) * scale).astype(int)
        high = np.maximum(np.ceil(line.max(axis=0) * scale).astype(int), low + 1)
        yield float(anomaly_map[low[1] : high[1], low[0] : high[0]].max())


def _area(line: NDArray[np.float64]) -> float:
    x, y = line.T
    return float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
