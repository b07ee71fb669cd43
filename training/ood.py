"""Fit of the OOD scorer, and its threshold from images that the fit did not see."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.model_selection import GroupKFold
from torch import Tensor

from wscxr.model.ood import OodConfig, OodScorer, describe

RANK = 64
"""Directions with a variance of their own; fewer where there are fewer images or components."""

SHRINKAGE = 0.1
"""Weight of the identity in the covariance of standardised descriptors."""

LEVEL = 0.95
"""The threshold starts from this quantile of distances of images that the fit did not see: of a
hundred images the largest distance, or nearly that, is a matter of luck ..."""

MARGIN = 1.25
"""... and leaves so much room above that of calibration normals, for radiographs that are abnormal
or taken otherwise."""

_FOLDS = 5
_LEAST_SCALE = 1e-3
_BLOCK = 16


def fit_ood(
    normal: Tensor,
    calibration: Tensor,
    anomaly: Tensor,
    anomaly_groups: Sequence[Hashable],
    *,
    rank: int = RANK,
) -> OodScorer:
    """Fit an OOD scorer on the training images, normal and abnormal alike.

    Its threshold is the larger of two: `MARGIN` times the `LEVEL` quantile of the distances of the
    calibration images, and that quantile of the anomaly images, each measured by a fit on all
    normals and the anomaly images of other patients (five folds). An abnormal radiograph is a
    radiograph: it must not be flagged as unlike them, and normals alone do not show how far it may
    lie.

    Parameters
    ----------
    normal, calibration, anomaly
        Patch features, float32 of shape (N, H', W', C'), on the CPU; they may lie on disk. The
        first two hold an image at least; `anomaly` is empty where the method uses none.
    anomaly_groups
        The patient of each anomaly image.
    rank
        Directions to keep, at most.

    Returns
    -------
    OodScorer
        On the CPU; the same features give the same scorer, byte for byte, on the same machine.
    """
    kept_aside = _describe(calibration)
    normals, anomalies = _describe(normal), _describe(anomaly)
    scorer = _fit(torch.cat([normals, anomalies]), rank)
    thresholds = [MARGIN * _quantile(scorer.distance(kept_aside))]
    if len(anomalies) > 0:
        distances = [
            _fit(torch.cat([normals, anomalies[seen]]), rank).distance(anomalies[held_out])
            for seen, held_out in _folds(anomaly_groups)
        ]
        thresholds.append(_quantile(torch.cat(distances)))
    # Above 0, even where all images are the same.
    scorer.threshold.fill_(max(*thresholds, 1e-6))
    return scorer


def score_ood(scorer: OodScorer, maps: Tensor) -> NDArray[np.float32]:
    """OOD scores of images.

    Parameters
    ----------
    maps
        Patch features, float32 of shape (N, H', W', C'), on the CPU; they may lie on disk.

    Returns
    -------
    NDArray
        float32 of shape (N,).
    """
    scores: NDArray[np.float32] = (scorer.distance(_describe(maps)) / scorer.threshold).numpy()
    return scores


def site_threshold(distances: NDArray[np.floating], *, labelled: bool) -> float:
    """OOD threshold by which a site's own radiographs are like the training images.

    `MARGIN` times the `LEVEL` quantile of their distances, as in `fit_ood`. Of unlabelled images,
    where there may be other things than chests among the farthest, that quantile is taken from
    median and upper quartile, as if the distances were normally distributed.

    Parameters
    ----------
    distances
        Of the site's images, by `OodScorer.distance`, floats of shape (n,), n >= 1.
    labelled
        Whether each is known to be a radiograph of a chest.
    """
    if labelled:
        return MARGIN * float(np.quantile(distances, LEVEL))
    middle, upper = np.quantile(distances, (0.5, 0.75))
    return MARGIN * float(middle + (upper - middle) * norm.ppf(LEVEL) / norm.ppf(0.75))


def _describe(maps: Tensor) -> Tensor:
    # Block by block: the features may lie on disk, larger than memory.
    blocks = [describe(maps[start : start + _BLOCK]) for start in range(0, len(maps), _BLOCK)]
    return torch.cat(blocks) if blocks else maps.new_empty(0, 2 * maps.shape[-1])


def _fit(descriptors: Tensor, rank: int) -> OodScorer:
    """Fit all but the threshold on descriptors of shape (n, 2 C')."""
    x = descriptors.double()
    n, length = x.shape
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    # A component that is constant here may vary a little elsewhere: that alone is no news.
    scale = scale.clamp(min=_LEAST_SCALE * scale.mean())
    scale = torch.where(scale > 0, scale, 1.0)
    x = (x - mean) / scale
    rank = max(1, min(rank, n - 1, length))
    directions, variances = _principal(x, rank)
    eigenvalues = (1 - SHRINKAGE) * variances + SHRINKAGE
    total = (1 - SHRINKAGE) * x.square().sum() / n + SHRINKAGE * length
    scorer = OodScorer(OodConfig(in_features=length // 2, rank=rank))
    scorer.mean.copy_(mean)
    scorer.scale.copy_(scale)
    scorer.directions.copy_(directions)
    scorer.eigenvalues.copy_(eigenvalues)
    if rank < length:
        scorer.rest.copy_((total - eigenvalues.sum()) / (length - rank))
    return scorer.eval()


def _principal(x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Directions of largest variance of centred x, shape (rank, d), and the variances (rank,)."""
    n, length = x.shape
    if n > length:
        values, vectors = torch.linalg.eigh(x.T @ x / n)
        directions = vectors.flip(1)[:, :rank].T
    else:
        # The same directions from the smaller n x n matrix; along all others nothing varies.
        values, vectors = torch.linalg.eigh(x @ x.T / n)
        directions = torch.linalg.qr(x.T @ vectors.flip(1)[:, :rank]).Q.T
    return directions, values.flip(0)[:rank].clamp(min=0)


def _folds(groups: Sequence[Hashable]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of the images that a fold's fit sees, and of those held out."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) == 1:
        yield np.arange(0), np.arange(len(groups))
        return
    folds = GroupKFold(min(_FOLDS, len(numbers)))
    yield from folds.split(groups, groups=[numbers[group] for group in groups])


def _quantile(distances: Tensor) -> float:
    return float(torch.quantile(distances, LEVEL))
