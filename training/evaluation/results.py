"""The results of an evaluation: the content of its JSON file and of its report.

Rates and areas are fractions; abnormal is the positive class; intervals cover 95 %.
"""

import json

from pydantic import BaseModel, ConfigDict, PositiveInt

from training.data.samples import Label
from wscxr.bundle.manifest import Provenance
from wscxr.model.calibration import Decision


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Result):
    """A measured value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class OperatingPoint(_Result):
    """Metrics at one threshold on the image-level score."""

    threshold: float
    accuracy: float
    f1: float
    sensitivity: float
    specificity: float


class ImageMetrics(_Result):
    """Image-level metrics.

    Attributes
    ----------
    n_normal, n_abnormal
        Number of images.
    auroc, average_precision
        Threshold-free, with the bootstrap intervals of `estimate_areas`.
    at_bundle_threshold
        At the bundle's own threshold, which was set without any of these images.
    at_youden_point
        At the threshold with the largest sensitivity + specificity *on these very images*: chosen
        with their labels, as the paper does, and therefore flattering.
    """

    n_normal: PositiveInt
    n_abnormal: PositiveInt
    auroc: Estimate
    average_precision: Estimate
    at_bundle_threshold: OperatingPoint
    at_youden_point: OperatingPoint


class CalibrationCheck(_Result):
    """How the false-alarm rate and p-values of the calibration hold on other normal images.

    Attributes
    ----------
    promised_false_alarm_rate
        The rate that calibration expects of exchangeable normal images.
    false_alarm_rate
        Fraction of these normal images above the threshold, with an exact binomial interval
        (Clopper and Pearson), which leaves out the draw of the calibration images.
    levels, achieved
        For each level a, the fraction of normal images with p-value <= a; of exchangeable ones it
        is at most about a.
    n
        Images of the bundle's calibration.
    error
        Expected calibration error of the p-values: mean of |achieved - level|.
    """

    promised_false_alarm_rate: float
    false_alarm_rate: Estimate
    levels: tuple[float, ...]
    achieved: tuple[float, ...]
    n: PositiveInt
    error: float


class Confounder(_Result):
    """How well one trivial feature alone separates the classes.

    Attributes
    ----------
    feature
        Its name.
    auroc
        In its better direction, hence at least 0.5.
    """

    feature: str
    auroc: float


class ConfounderCheck(_Result):
    """How well the classes separate without a look at the lungs.

    Attributes
    ----------
    features
        Each trivial feature, the largest AUROC first.
    together
        Cross-validated AUROC of a logistic regression on all of them; None where there are too
        few images.
    warnings
        Sentences for the reader where trivial features come near the model.
    """

    features: tuple[Confounder, ...]
    together: float | None
    warnings: tuple[str, ...]


class LocalisationMetrics(_Result):
    """How well one kind of map finds annotated lesions.

    Attributes
    ----------
    pixel_auroc
        Over the pixels of all annotated images.
    pointing_game
        Fraction of images whose largest map value lies inside a lesion (Zhang et al., 2018); ties
        count by the part of them that lies inside.
    best_iou, best_iou_threshold
        Mean intersection over union at the one threshold, for all images, that makes it largest:
        chosen with the annotations.
    lesion_recall
        Fraction of lesions of which at least a quarter lies in the most anomalous tenth of the
        image.
    """

    pixel_auroc: float
    pointing_game: float
    best_iou: float
    best_iou_threshold: float
    lesion_recall: float


class Localisation(_Result):
    """The anomaly maps beside two that never look at the image.

    Attributes
    ----------
    n_images, n_lesions
        How many were annotated.
    model
        The bundle's anomaly maps.
    location_prior
        The mean map of the *other* images' annotations; None for a single image.
    constant
        A map of one value.
    """

    n_images: PositiveInt
    n_lesions: PositiveInt
    model: LocalisationMetrics
    location_prior: LocalisationMetrics | None
    constant: LocalisationMetrics


class OodShare(_Result):
    """Fraction of the images that are unlike the training images: OOD score above 1."""

    normal: float
    abnormal: float


class ScoredImage(_Result):
    """One image and what the bundle says of it; ``path`` is as the user gave it."""

    path: str
    label: Label
    score: float
    p_value: float
    decision: Decision
    ood_score: float | None


class EvaluatedBundle(_Result):
    """Which bundle was evaluated, and how it was trained."""

    sha256: str
    method: str
    backbone: str
    warnings: tuple[str, ...]
    training: Provenance


class Evaluation(_Result):
    """All results of `training.evaluation.evaluate`."""

    bundle: EvaluatedBundle
    image_level: ImageMetrics
    calibration: CalibrationCheck
    out_of_distribution: OodShare | None
    confounders: ConfounderCheck
    localisation: Localisation | None
    images: tuple[ScoredImage, ...]

    def document(self) -> str:
        """JSON of everything, with the honest headline numbers once more, flat, for scripts.

        These are ``auroc``, ``average_precision``, ``accuracy``, ``f1``, ``sensitivity``,
        ``specificity``, ``threshold``, ``n_normal`` and ``n_abnormal``.
        """
        level = self.image_level
        headline = {
            "auroc": level.auroc.value,
            "average_precision": level.average_precision.value,
            **level.at_bundle_threshold.model_dump(),
            "n_normal": level.n_normal,
            "n_abnormal": level.n_abnormal,
        }
        return json.dumps(headline | self.model_dump(mode="json"), indent=1)
