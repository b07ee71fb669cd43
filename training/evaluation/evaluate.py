"""Evaluates a bundle on labelled images that its training did not see."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.annotations import Annotations
from training.data.images import in_batches, open_radiograph
from training.data.samples import Label, Sample, patient_groups
from training.evaluation.confounders import TrivialFeatures, check_confounders, trivial_features
from training.evaluation.localisation import localise
from training.evaluation.metrics import calibration_check, check_classes, image_metrics
from training.evaluation.results import EvaluatedBundle, Evaluation, OodShare, ScoredImage
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest
from wscxr.errors import NotEnoughImages
from wscxr.progress import Track, untracked


def evaluate(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    annotations: Annotations | None = None,
    track: Track = untracked,
) -> Evaluation:
    """Score labelled images with a bundle, and compute every metric that the labels allow.

    Each file is read once, and goes through the detector once.

    Parameters
    ----------
    bundle
        The bundle to measure; its training must not have seen any of these patients.
    samples
        Normal and abnormal images.
    annotations
        Lesions of some of the abnormal images, whose anomaly maps are then measured too.

    Raises
    ------
    NotEnoughImages
        One of the classes is missing, or there are annotations but of none of the abnormal images.
    DataError
        A file cannot be read; the message names it.
    """
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in samples], dtype=np.bool_)
    check_classes(abnormal)
    lesions = {} if annotations is None else _lesions(samples, annotations)

    def load(sample: Sample) -> tuple[ModelInput, TrivialFeatures]:
        radiograph, data = open_radiograph(sample.path)
        return bundle.prepare(radiograph), trivial_features(radiograph, len(data))

    images: list[ScoredImage] = []
    features: list[TrivialFeatures] = []
    maps: list[NDArray[np.float32]] = []
    strange: list[bool] = []
    for batch in in_batches(samples, load, track):
        for prediction in bundle.predict_inputs([prepared for prepared, _ in batch]):
            sample = samples[len(images)]
            if len(images) in lesions:
                maps.append(prediction.anomaly_map.copy())  # lets go of the batch
            strange.append(prediction.out_of_distribution)
            images.append(
                ScoredImage(
                    path=str(sample.path),
                    label=sample.label,
                    score=prediction.score,
                    p_value=prediction.p_value,
                    decision=prediction.decision,
                    ood_score=prediction.ood_score,
                )
            )
        features += [trivial for _, trivial in batch]

    calibration = bundle.manifest.calibration
    scores = np.array([image.score for image in images])
    unlike = np.array(strange)
    groups = patient_groups(samples)
    image_level = image_metrics(abnormal, scores, calibration.threshold, groups=groups)
    return Evaluation(
        bundle=_identity(bundle.manifest),
        image_level=image_level,
        calibration=calibration_check(calibration, scores[~abnormal]),
        out_of_distribution=None
        if bundle.ood is None
        else OodShare(
            normal=float(unlike[~abnormal].mean()), abnormal=float(unlike[abnormal].mean())
        ),
        confounders=check_confounders(
            features,
            [sample.view for sample in samples],
            abnormal,
            image_level.auroc.value,
            groups,
        ),
        localisation=localise(maps, list(lesions.values())) if lesions else None,
        images=tuple(images),
    )


def _lesions(
    samples: Sequence[Sample], annotations: Annotations
) -> dict[int, tuple[NDArray[np.bool_], ...]]:
    """Lesion masks of the abnormal images that have any, by the image's place among all."""
    lesions = {
        place: masks
        for place, sample in enumerate(samples)
        if sample.label is Label.ABNORMAL and (masks := annotations.lesions(sample.path))
    }
    if not lesions:
        raise NotEnoughImages("the annotations name none of the abnormal images")
    return lesions


def _identity(manifest: BundleManifest) -> EvaluatedBundle:
    backbone = manifest.backbone
    return EvaluatedBundle(
        sha256=manifest.sha256,
        method=manifest.training.method,
        backbone=f"{backbone.architecture} {', '.join(backbone.layers)}",
        warnings=tuple(manifest.warnings),
        training=manifest.training,
    )
