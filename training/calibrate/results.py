"""What a calibration on a site's images found, for the person who runs it."""

import json

from pydantic import BaseModel, ConfigDict

from training.calibrate.promise import RateInterval
from training.evaluation.results import Estimate


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BeforeAfter(_Result):
    """A rate at the former and at the new threshold, each with its 95 % interval."""

    before: Estimate
    after: Estimate

    def __str__(self) -> str:
        """In percent."""
        return f"{_percent(self.before)} -> {_percent(self.after)}"


class SiteReport(_Result):
    """What a calibration on a site's images found; rates are fractions.

    Attributes
    ----------
    sha256
        Identity of the bundle that was written.
    images, n
        Whether they were called ``normal`` or are ``unlabelled``, and how many.
    abnormal_share
        Estimated share of abnormal images; 0 where all were called normal.
    threshold_before, threshold
        On the score.
    alarms_before
        Share of these images above the former threshold, with an exact binomial interval.
    expected
        Mean false-alarm rate at the new threshold.
    promised
        Interval of that rate in 95 % of such calibrations; None for unlabelled images, of which
        nothing can be promised.
    unlike_before, unlike
        Share of these images out of distribution, by the former and by the new OOD threshold; None
        where the bundle has no OOD scorer.
    n_abnormal, sensitivity
        Abnormal images given, and the share of them above the thresholds; None without any.
    """

    sha256: str
    images: str
    n: int
    abnormal_share: float
    threshold_before: float
    threshold: float
    alarms_before: Estimate
    expected: float
    promised: RateInterval | None
    unlike_before: float | None
    unlike: float | None
    n_abnormal: int
    sensitivity: BeforeAfter | None

    def lines(self) -> list[str]:
        """The findings in sentences, one a line."""
        found = [
            f"threshold {self.threshold_before:.4f} -> {self.threshold:.4f}, from {self.n} "
            f"{self.images} images",
            f"above the former threshold: {_percent(self.alarms_before)} of these images",
        ]
        if self.promised is None:
            found.append(
                f"about {self.abnormal_share:.0%} of them abnormal by estimate; false alarms "
                f"expected among the site's normal images: {self.expected:.1%}, with no promise"
            )
        else:
            found.append(
                f"false alarms expected among the site's normal images: {self.expected:.1%}; with "
                f"{self.n} images between {self.promised.low:.1%} and {self.promised.high:.1%} in "
                "95 % of calibrations"
            )
        if self.unlike is not None and self.unlike_before is not None:
            found.append(f"out of distribution: {self.unlike_before:.1%} -> {self.unlike:.1%}")
        if self.sensitivity is not None:
            found.append(f"sensitivity on {self.n_abnormal} abnormal images: {self.sensitivity}")
        return found

    def document(self) -> str:
        """Everything as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=1)


def _percent(rate: Estimate) -> str:
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
