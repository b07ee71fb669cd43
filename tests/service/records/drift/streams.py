"""Weeks of analyses, as the recorder writes them, of a site that changes or does not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from service.records.drift.observed import monday
from tests.service.records.rows import analysis
from wscxr.model.calibration import Calibration

SHA256 = "c" * 64
CALIBRATION = Calibration.from_scores(np.linspace(-2, 2, 199), 0.05)
"""Ten of 200 normal images are expected above its threshold, 1.8."""


def week_of(ago: int) -> datetime:
    """The Monday so many weeks ago, at midnight in UTC; this week's for 0."""
    start = datetime.combine(monday(datetime.now(UTC)), datetime.min.time(), UTC)
    return start - timedelta(weeks=ago)


def images(
    ago: int, n: int, rng: np.random.Generator, *, sharpness: float = 0.02, **columns: Any
) -> Iterator[dict[str, Any]]:
    """Normal images of one week, exchangeable with those of the calibration but for sharpness."""
    for number, score in enumerate(rng.uniform(-2, 2, n).tolist()):
        yield analysis(
            **{
                "time": week_of(ago) + timedelta(seconds=number),
                "model_sha256": SHA256,
                "score": score,
                "p_value": CALIBRATION.p_value(score),
                "threshold": CALIBRATION.threshold,
                "decision": CALIBRATION.decide(score).value,
                "ood_score": float(rng.gamma(20, 0.03)),
                "brightness": float(rng.normal(0.5, 0.05)),
                "contrast": float(rng.normal(0.2, 0.02)),
                "sharpness": float(rng.normal(sharpness, 0.004)),
                **columns,
            }
        )
