"""The two protocols: the honest one, and the paper's.

``honest``: the last checkpoint, at the threshold calibrated on normal images kept aside; nothing is
chosen on test data. ``paper``: as the authors' code does, the checkpoint with the best mean of
AUROC, accuracy and F1 *on the test images* is kept, at a threshold chosen with *their labels*. It
flatters, and is here only to be set beside the paper's numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.evaluation.metrics import operating_point, youden_threshold
from training.paper.records import Measured
from wscxr.model.calibration import Calibration


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Scores at one checkpoint.

    Attributes
    ----------
    calibration
        Of the normal images kept aside, floats of shape (n,).
    test
        Of the test images, floats of shape (m,).
    """

    calibration: NDArray[np.floating]
    test: NDArray[np.floating]


def judge(
    snapshots: Sequence[Snapshot], abnormal: NDArray[np.bool_], false_alarm_rate: float
) -> tuple[Measured, Measured]:
    """Measure one run under both protocols.

    Parameters
    ----------
    snapshots
        One for each checkpoint, at least one; the last is the finished method.
    abnormal
        True where a test image is abnormal, of shape (m,).
    false_alarm_rate
        What the honest threshold is calibrated for.

    Returns
    -------
    tuple
        Under ``honest``, and under ``paper``.
    """
    last = snapshots[-1]
    threshold = Calibration.from_scores(last.calibration, false_alarm_rate).threshold
    honest = _measure(last, abnormal, threshold, len(snapshots))
    candidates = [
        _measure(snapshot, abnormal, youden_threshold(abnormal, snapshot.test), number)
        for number, snapshot in enumerate(snapshots, start=1)
    ]
    return honest, max(candidates, key=_as_the_authors_choose)


def _measure(
    snapshot: Snapshot, abnormal: NDArray[np.bool_], threshold: float, checkpoint: int
) -> Measured:
    return Measured(
        auroc=float(roc_auc_score(abnormal, snapshot.test)),
        point=operating_point(abnormal, snapshot.test, threshold),
        checkpoint=checkpoint,
    )


def _as_the_authors_choose(measured: Measured) -> float:
    return measured.auroc + measured.point.accuracy + measured.point.f1
