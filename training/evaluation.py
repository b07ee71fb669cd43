"""How good a bundle is on labelled images that training never saw."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)

from training.images import load_batches
from training.samples import Label, Sample
from wscxr.bundle import Bundle
from wscxr.errors import NotEnoughImages
from wscxr.progress import Track, untracked


class Evaluation(BaseModel):
    """Image-level metrics, as fractions; abnormal is the positive class.

    Attributes
    ----------
    auroc, average_precision
        Threshold-free: area under the ROC curve, and average precision.
    accuracy, f1, sensitivity, specificity
        At the bundle's own threshold, which was set without any of these images.
    threshold
        That threshold.
    n_normal, n_abnormal
        Number of images.
    """

    model_config = ConfigDict(frozen=True)

    auroc: float
    average_precision: float
    accuracy: float
    f1: float
    sensitivity: float
    specificity: float
    threshold: float
    n_normal: int
    n_abnormal: int


def image_metrics(
    abnormal: NDArray[np.bool_], scores: NDArray[np.floating], threshold: float
) -> Evaluation:
    """Compute image-level metrics.

    Parameters
    ----------
    abnormal
        True where the image is abnormal, of shape (n,).
    scores
        Image-level scores of shape (n,).
    threshold
        Scores above it count as called abnormal.

    Raises
    ------
    NotEnoughImages
        One of the classes is missing.
    """
    n_abnormal = int(abnormal.sum())
    n_normal = len(abnormal) - n_abnormal
    if not n_normal or not n_abnormal:
        raise NotEnoughImages(
            f"evaluation needs both classes; there are {n_normal} normal and "
            f"{n_abnormal} abnormal images"
        )
    called = scores > threshold
    (true_normal, _), (_, true_abnormal) = confusion_matrix(abnormal, called)
    return Evaluation(
        auroc=float(roc_auc_score(abnormal, scores)),
        average_precision=float(average_precision_score(abnormal, scores)),
        accuracy=float(accuracy_score(abnormal, called)),
        f1=float(f1_score(abnormal, called, zero_division=0.0)),
        sensitivity=float(true_abnormal / n_abnormal),
        specificity=float(true_normal / n_normal),
        threshold=threshold,
        n_normal=n_normal,
        n_abnormal=n_abnormal,
    )


def evaluate(bundle: Bundle, samples: Sequence[Sample], track: Track = untracked) -> Evaluation:
    """Score labelled images with a bundle and compute image-level metrics.

    Raises
    ------
    NotEnoughImages
        One of the classes is missing.
    DataError
        A file cannot be read; the message names it.
    """
    scores: list[float] = []
    for batch in load_batches(samples, bundle.manifest.input, track):
        detection = bundle.detector.detect(torch.stack([image.tensor for image in batch]))
        scores += detection.scores.tolist()
    return image_metrics(
        np.array([sample.label is Label.ABNORMAL for sample in samples]),
        np.array(scores),
        bundle.manifest.calibration.threshold,
    )
