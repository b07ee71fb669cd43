"""The results of a comparison: the content of its JSON file and of its report.

Rates and areas are fractions; abnormal is the positive class; intervals cover 95 %.
"""

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from training.data.samples import Label
from training.evaluation.results import CalibrationCheck, Estimate
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.manifest import Provenance
from wscxr.model.calibration import Decision


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedBundle(_Result):
    """One of the two bundles.

    Attributes
    ----------
    identity, training
        Which it is, and how it was trained.
    threshold
        Scores above it are called abnormal.
    warnings
        What a reader of its scores must know.
    """

    identity: ModelIdentity
    training: Provenance
    threshold: float
    warnings: tuple[str, ...]


class Change(_Result):
    """One setting or count in which the bundles differ, as text."""

    what: str
    old: str
    new: str


class OldNew(_Result):
    """A rate of both bundles on the same images, each with an exact binomial interval."""

    old: Estimate
    new: Estimate


class AreaDifference(_Result):
    """AUROC of both bundles on the same images.

    Attributes
    ----------
    old, new
        Each with its bootstrap interval.
    difference
        New less old, with the paired bootstrap interval of `estimate_difference`.
    p_value
        Two-sided, of no difference.
    """

    old: Estimate
    new: Estimate
    difference: Estimate
    p_value: float


class DecisionChanges(_Result):
    """The decisions of both bundles on images of one label.

    Attributes
    ----------
    abnormal
        Share of the images called abnormal: sensitivity of abnormal ones, false alarms of normal
        ones.
    n
        Number of images.
    to_abnormal, to_normal
        Images whose decision changes, and to what.
    p_value
        Exact two-sided test of McNemar (1947): are changes either way as likely? It counts images,
        so several of one patient are worth less than it takes them for.
    """

    n: NonNegativeInt
    abnormal: OldNew
    to_abnormal: NonNegativeInt
    to_normal: NonNegativeInt
    p_value: float


class Group(_Result):
    """All images, or those of a subgroup.

    Attributes
    ----------
    column, value
        The column of the manifest and its value; None for all images.
    n_patients
        Number of patients; of images, where these are unknown.
    auroc
        None where one of the classes is missing.
    abnormal, normal
        Decisions on the images of each label; None where there are none.
    """

    column: str | None
    value: str | None
    n_patients: NonNegativeInt
    auroc: AreaDifference | None
    abnormal: DecisionChanges | None
    normal: DecisionChanges | None


class Calibrations(_Result):
    """Whether the false-alarm rate that each bundle promises holds on the normal images."""

    old: CalibrationCheck
    new: CalibrationCheck


class Criterion(_Result):
    """One condition that was set before the images were scored.

    Attributes
    ----------
    name
        What must hold.
    met
        Whether it does.
    found
        What was found, in a sentence.
    """

    name: str
    met: bool
    found: str


class ComparedImage(_Result):
    """One image, and what both bundles say of it; ``path`` is as the user gave it."""

    path: str
    label: Label
    old_score: float
    new_score: float
    old_p_value: float
    new_p_value: float
    old_decision: Decision
    new_decision: Decision

    @property
    def changed(self) -> bool:
        """Whether the decision changes."""
        return self.old_decision is not self.new_decision


class BundleComparison(_Result):
    """All results of `training.evaluation.comparison.compare`.

    Attributes
    ----------
    changes
        What differs between the bundles.
    overall, subgroups
        Measured on all images, and on the images of each value of each column.
    confounders
        Warnings where trivial features come near the new bundle.
    criteria, accepted
        What had to hold, and whether all of it does. Nothing is promoted by that.
    """

    old: ComparedBundle
    new: ComparedBundle
    changes: tuple[Change, ...]
    overall: Group
    subgroups: tuple[Group, ...]
    calibration: Calibrations
    confounders: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    accepted: bool
    images: tuple[ComparedImage, ...]

    def document(self) -> str:
        """Everything as JSON."""
        return self.model_dump_json(indent=1)
