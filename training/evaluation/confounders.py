"""Trivial features, and how well they alone separate the classes.

Where brightness or file size separates normal from abnormal as well as the model does, the model's
AUROC does not show that it sees disease.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.results import Confounder, ConfounderCheck
from wscxr.imaging import Radiograph

_FRAME = 0.05
"""Part of each side that belongs to the frame, at either end."""


@dataclass(frozen=True)
class TrivialFeatures:
    """Trivial features of one image, in its own size; grey values are fractions of full range.

    Attributes
    ----------
    file_size
        Bytes of the file.
    mean, contrast
        Mean and standard deviation of the grey values.
    border_brightness
        Mean grey value of the frame: the outermost 5 % of each side.
    sharpness
        Variance of the Laplacian (Pech-Pacheco et al., *Diatom autofocusing in brightfield
        microscopy*, 2000).
    width, height
        In pixels.
    """

    file_size: int
    mean: float
    contrast: float
    border_brightness: float
    sharpness: float
    width: int
    height: int


def trivial_features(radiograph: Radiograph, file_size: int) -> TrivialFeatures:
    """Measure the trivial features of one radiograph that was read from `file_size` bytes."""
    pixels = radiograph.pixels
    full = float(np.iinfo(pixels.dtype).max)
    top, left = (max(1, round(_FRAME * side)) for side in pixels.shape)
    inner = pixels[top:-top, left:-left]
    frame = (pixels.sum(dtype=np.int64) - inner.sum(dtype=np.int64)) / (pixels.size - inner.size)
    return TrivialFeatures(
        file_size=file_size,
        mean=float(pixels.mean() / full),
        contrast=float(pixels.std() / full),
        border_brightness=float(frame / full),
        sharpness=float(laplace(pixels, output=np.float32).var(dtype=np.float64) / full**2),
        width=radiograph.width,
        height=radiograph.height,
    )


NEAR = 0.8
"""A trivial feature comes near the model when it goes this part of the way from chance, an AUROC
of 0.5, to the model's: 0.74 beside 0.8, 0.88 beside 0.98 ..."""

TELLING = 0.6
"""... and when its own is larger than this: every feature is near a model that finds nothing."""

MIN_PATIENTS = 10
"""Fewer patients of either class are too few to fit all features together."""

_FOLDS = 5


def check_confounders(
    features: Sequence[TrivialFeatures],
    views: Sequence[str | None],
    abnormal: NDArray[np.bool_],
    model_auroc: float,
    groups: Sequence[Hashable],
) -> ConfounderCheck:
    """Measure how well trivial features separate the classes on the model's own test images.

    Parameters
    ----------
    features
        Of each image.
    views
        Of each image; None where unknown, and not a feature when it is unknown of all.
    abnormal
        True where the image is abnormal, of shape (n,); both classes occur.
    model_auroc
        The model's on the same images.
    groups
        The patient of each image: no patient is on both sides of a fold.

    Returns
    -------
    ConfounderCheck
        With a warning for each single feature, and for all together, that comes near the model
        (see `NEAR` and `TELLING`).
    """
    measured = np.array([list(asdict(image).values()) for image in features], dtype=np.float64)
    names = [field.name.replace("_", " ") for field in fields(TrivialFeatures)]
    alone = [
        _confounder(name, abnormal, column) for name, column in zip(names, measured.T, strict=True)
    ]
    if set(views) != {None}:
        one_hot = _one_hot(views)
        measured = np.hstack([measured, one_hot])
        # The share of abnormal images among those of the same view: the best any reader of the
        # view alone can do.
        share = one_hot @ (abnormal @ one_hot / one_hot.sum(axis=0))
        alone.append(_confounder("view", abnormal, share))
    together = _together(measured, abnormal, groups)
    alone.sort(key=lambda confounder: -confounder.auroc)
    found = [(f"{confounder.feature} alone", confounder.auroc) for confounder in alone]
    if together is not None:
        found.append(("trivial features together", together))
    return ConfounderCheck(
        features=tuple(alone),
        together=together,
        warnings=tuple(
            f"CONFOUNDED: {what} gave AUROC {auroc:.3f} on these images, the model "
            f"{model_auroc:.3f}: the model's figure does not show that it sees disease."
            for what, auroc in found
            if auroc > TELLING and auroc - 0.5 >= NEAR * (model_auroc - 0.5)
        ),
    )


def _confounder(name: str, abnormal: NDArray[np.bool_], values: NDArray[np.float64]) -> Confounder:
    auroc = float(roc_auc_score(abnormal, values))
    return Confounder(feature=name, auroc=max(auroc, 1 - auroc))


def _one_hot(views: Sequence[str | None]) -> NDArray[np.float64]:
    """Of shape (n, number of views); an unknown view is one of them."""
    codes = np.unique([view or "" for view in views], return_inverse=True)[1]
    return np.eye(codes.max() + 1)[codes]


def _together(
    measured: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: Sequence[Hashable]
) -> float | None:
    """Cross-validated AUROC of a logistic regression on standardised features."""
    names = np.asarray(groups)
    if min(len(set(names[abnormal])), len(set(names[~abnormal]))) < MIN_PATIENTS:
        return None
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        measured,
        abnormal,
        groups=names,
        cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0),
        method="decision_function",
    )
    return float(roc_auc_score(abnormal, scores))
