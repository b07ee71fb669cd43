"""Threshold and p-value from normal images kept aside from training."""

import math
from enum import StrEnum
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class Decision(StrEnum):
    """What the score says at the bundle's threshold."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"


class Calibration(BaseModel):
    """Split-conformal calibration; part of the bundle.

    A new normal image exchangeable with the calibration images gets ``p <= a`` with probability
    at most ``a`` (Vovk et al., *Algorithmic Learning in a Random World*, 2005; Bates et al.,
    *Testing for outliers with conformal p-values*, 2023). Images from elsewhere come with no
    such promise.

    Attributes
    ----------
    false_alarm_rate
        The rate that was asked for, in (0, 1).
    scores
        Scores of the calibration images, ascending.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarm_rate: float = Field(gt=0, lt=1)
    scores: tuple[FiniteFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(a > b for a, b in zip(self.scores, self.scores[1:], strict=False)):
            raise ValueError("calibration scores are not in ascending order")
        return self

    @classmethod
    def from_scores(cls, scores: np.ndarray, false_alarm_rate: float) -> Self:
        """Calibrate on the scores of normal images that training never saw.

        Parameters
        ----------
        scores
            Floats of shape (n,), n >= 1, in any order.
        false_alarm_rate
            Fraction of normal images that may be called abnormal, in (0, 1).
        """
        ordered = tuple(float(score) for score in np.sort(scores))
        return cls(false_alarm_rate=false_alarm_rate, scores=ordered)

    @property
    def allowed(self) -> int:
        """How many of n + 1 exchangeable normals may be called abnormal: 1 to n."""
        n = len(self.scores)
        return min(n, max(1, math.floor(self.false_alarm_rate * (n + 1) + 1e-9)))

    @property
    def expected_false_alarm_rate(self) -> float:
        """The rate that can be promised: at most the one asked for, unless n is too small.

        With n calibration images no rate below 1 / (n + 1) can be distinguished from 0.
        """
        return self.allowed / (len(self.scores) + 1)

    @property
    def threshold(self) -> float:
        """The score above which an image is called abnormal.

        Equivalent to ``p_value(score) <= expected_false_alarm_rate``.
        """
        return self.scores[-self.allowed]

    def p_value(self, score: float) -> float:
        """Conformal p-value ``(1 + #{calibration >= score}) / (n + 1)``, in (0, 1]."""
        below = int(np.searchsorted(np.asarray(self.scores), score, side="left"))
        return (1 + len(self.scores) - below) / (len(self.scores) + 1)

    def relative(self, score: float) -> float:
        """A score on the scale of the calibration: 0 at the median, 1 at the threshold.

        Scores of bundles have scales of their own; this one they have in common. Where the median
        is the threshold, it is the difference of the two.
        """
        median = self.scores[(len(self.scores) - 1) // 2]
        span = self.threshold - median
        return (score - median) / span if span > 0 else score - median

    def decide(self, score: float) -> Decision:
        """Compare an image-level score with the threshold."""
        return Decision.ABNORMAL if score > self.threshold else Decision.NORMAL
