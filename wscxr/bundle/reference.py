"""What calibration normals look like to a bundle, for a comparison with later images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat

from wscxr.imaging.statistics import ImageStatistics


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(a > b for a, b in pairwise(values)):
        raise ValueError("reference values are not in ascending order")
    return values


Values = Annotated[tuple[FiniteFloat, ...], AfterValidator(_ascending)]


class Reference(BaseModel):
    """OOD scores and image statistics of the calibration normals that the bundle calls normal.

    Their scores are in the calibration. An image above the threshold is left out here, so that a
    site can compare like with like: what its own answers call normal holds few abnormal images.
    Every tuple is in ascending order on its own, so that nothing here describes one image.

    Attributes
    ----------
    ood_scores
        Floats, at least 0; empty where the bundle has no OOD scorer.
    brightness, contrast, sharpness
        See `wscxr.imaging.statistics.ImageStatistics`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ood_scores: Values
    brightness: Values
    contrast: Values
    sharpness: Values

    @classmethod
    def of(
        cls,
        called_normal: NDArray[np.bool_],
        ood_scores: NDArray[np.floating] | None,
        statistics: Sequence[ImageStatistics],
    ) -> Self:
        """Collect the reference of a calibration.

        Parameters
        ----------
        called_normal
            Whether each of the n calibration images lies at the threshold or below, of shape (n,).
        ood_scores
            Of shape (n,); None where the bundle has no OOD scorer.
        statistics
            Of the n model inputs.
        """
        columns = np.asarray(statistics, dtype=np.float64)[called_normal].T
        ood = () if ood_scores is None else _sorted(ood_scores[called_normal])
        measured = dict(zip(ImageStatistics._fields, map(_sorted, columns), strict=True))
        return cls(ood_scores=ood, **measured)


def _sorted(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(np.sort(values.astype(np.float64)).tolist())
