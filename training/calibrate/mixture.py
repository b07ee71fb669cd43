"""The scores of the normal images among images that nobody has labelled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.9
"""Quantiles of normal scores: the first two give place and spread, the last the share."""

_LARGEST_SHARE = 0.5
_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class NormalPart:
    """What was estimated of the normal images among unlabelled ones.

    Attributes
    ----------
    scores
        Scores that normal images of the site are expected to have, ascending, float64 of shape
        (m,): those of the reference, moved and stretched.
    abnormal_share
        Estimated share of abnormal images, from 0 to 0.5.
    """

    scores: NDArray[np.float64]
    abnormal_share: float


def estimate_normal_part(
    unlabelled: NDArray[np.floating], reference: NDArray[np.floating]
) -> NormalPart:
    """Estimate the scores of a site's normal images from images of unknown label.

    The model: normal images of the site score as those of the reference do, but for their place and
    spread, ``a + b s``; a share q of the images is abnormal, and abnormal images lie above nine in
    ten normal ones. Then ``1 - q`` times a normal quantile level is the level of the same score
    among all images, and three equations give the three unknowns: the levels 0.1 and 0.5 give a and
    b, and ``1 - q`` is the share of images below the normal 0.9 quantile, over 0.9. They are solved
    by turns, from q = 0.

    Why so: the plain quantile of all images breaks down as soon as q reaches the false-alarm rate,
    and the median with the lower half alone, taken as normal, still moves with q. Estimating q from
    where normal images end costs little when q is 0, and needs no shape for the scores of abnormal
    images, of which a site has few. The shape of normal scores is skewed, so it comes from the
    reference and not from a Gaussian; the assumption that few abnormal images lie in the bulk of
    the normal ones is Efron's (*Large-scale simultaneous hypothesis testing: the choice of a null
    hypothesis*, 2004).

    Parameters
    ----------
    unlabelled
        Scores of the site's images, floats of shape (n,), mostly of normal ones.
    reference
        Scores of normal images elsewhere, floats of shape (m,): the bundle's calibration.
    """
    low, middle, high = np.quantile(reference, (_LOW, _MIDDLE, _HIGH))
    share, place, spread = 0.0, 0.0, 1.0
    for _ in range(_ROUNDS):
        below, centre = np.quantile(unlabelled, (_LOW * (1 - share), _MIDDLE * (1 - share)))
        # Where all reference scores are the same, they have a place alone.
        spread = float((centre - below) / (middle - low)) if middle > low else 1.0
        place = float(centre - spread * middle)
        inside = float((unlabelled <= place + spread * high).mean())
        found = float(np.clip(1 - inside / _HIGH, 0, _LARGEST_SHARE))
        if abs(found - share) < 1e-4:
            break
        # Half a step: the share of images is a staircase, and whole steps may go in circles.
        share = (share + found) / 2
    return NormalPart(np.sort(place + spread * reference.astype(np.float64)), share)
