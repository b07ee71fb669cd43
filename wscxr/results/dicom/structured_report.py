"""Comprehensive 3D SR by TID 1500 (PS3.16): the numbers and where they come from."""

from collections.abc import Iterator

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from wscxr.model.calibration import Decision
from wscxr.results.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    NO_OOD,
    RESEARCH,
    UNLIKE_TRAINING,
)
from wscxr.results.dicom.region import outlines, peaks
from wscxr.results.dicom.target import Target

_OWN = "99WSCXR"
"""Private coding scheme (PS3.16, chapter 8): the standard has no codes for these."""

_SCORE = Code("SCORE", _OWN, "Image-level anomaly score")
_P_VALUE = Code("PVALUE", _OWN, "Conformal p-value")
_THRESHOLD = Code("THRESHOLD", _OWN, "Threshold of the anomaly score")
_DECISION = Code("DECISION", _OWN, "Decision at the threshold")
_NORMAL = Code("NORMAL", _OWN, "Normal: not above the threshold")
_ABNORMAL = Code("ABNORMAL", _OWN, "Abnormal: above the threshold")
_ANOMALY = Code("ANOMALY", _OWN, "Anomaly: unlike normal radiographs")
_PEAK = Code("PEAK", _OWN, "Largest anomaly map value of the region")
_OOD_SCORE = Code("OODSCORE", _OWN, "OOD score: above 1 unlike the training images")
_TRUST = Code("TRUST", _OWN, "Whether the anomaly score can be relied on")
_UNLIKE_TRAINING = Code("UNLIKE", _OWN, UNLIKE_TRAINING)
_NOT_CHECKED = Code("NOTCHECKED", _OWN, NO_OOD)
_RESEARCH_ONLY = Code("RESEARCH", _OWN, "For research use, not for diagnosis")

_CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
_NO_UNITS = Code("1", "UCUM", "no units")
_CONTENT = Tag("ContentSequence")


def structured_report(target: Target) -> Dataset:
    """Report score, p-value, threshold, decision, OOD score, and the outlines of the region."""
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=target.uid("device"),
            name=MODEL_NAME,
            manufacturer_name=MANUFACTURER,
            model_name=target.prediction.model.name,
        ),
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_CHEST_RADIOGRAPHY,
        imaging_measurements=[_image_group(target), *_region_groups(target)],
        title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    # highdicom copies the content and searches it for what it refers to, which took longer than all
    # the rest: it gets the root alone, as all that ours refers to is the source.
    [content] = report
    root = Dataset()
    root.update({tag: element for tag, element in content.items() if tag != _CONTENT})
    root.ContentSequence = []
    document = sr.Comprehensive3DSR(
        evidence=[target.source],
        content=root,
        is_complete=True,
        **target.common,
    )
    document.ContentSequence = content.ContentSequence
    return document


def _image_group(target: Target) -> sr.MeasurementsAndQualitativeEvaluations:
    prediction = target.prediction
    decision = _ABNORMAL if prediction.decision is Decision.ABNORMAL else _NORMAL
    evaluations = [
        sr.QualitativeEvaluation(_DECISION, decision),
        sr.QualitativeEvaluation(_RESEARCH_ONLY, _RESEARCH_ONLY),
    ]
    measurements = [
        sr.Measurement(_SCORE, prediction.score, _NO_UNITS),
        sr.Measurement(_P_VALUE, prediction.p_value, _NO_UNITS),
        sr.Measurement(_THRESHOLD, prediction.threshold, _NO_UNITS),
    ]
    if prediction.ood_score is None:
        evaluations.append(sr.QualitativeEvaluation(_TRUST, _NOT_CHECKED))
    else:
        measurements.append(sr.Measurement(_OOD_SCORE, prediction.ood_score, _NO_UNITS))
    if prediction.out_of_distribution:
        evaluations.append(sr.QualitativeEvaluation(_TRUST, _UNLIKE_TRAINING))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(target.uid("tracking", "image"), "image"),
        finding_type=_ANOMALY,
        algorithm_id=_algorithm(target),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[sr.SourceImageForMeasurementGroup(*_reference(target))],
    )


def _region_groups(
    target: Target,
) -> Iterator[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    lines = outlines(target)
    for place, (line, peak) in enumerate(zip(lines, peaks(target, lines), strict=True), 1):
        name = f"region {place}"
        # First and last vertex of a closed polyline are the same (PS3.3, C.18.6.1.2).
        closed = line if np.array_equal(line[0], line[-1]) else np.vstack([line, line[:1]])
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(target.uid("tracking", name), name),
            referenced_region=sr.ImageRegion(
                sr.GraphicTypeValues.POLYLINE,
                closed,
                sr.SourceImageForRegion(*_reference(target)),
            ),
            finding_type=_ANOMALY,
            algorithm_id=_algorithm(target),
            measurements=[sr.Measurement(_PEAK, peak, _NO_UNITS)],
        )


def _algorithm(target: Target) -> sr.AlgorithmIdentification:
    model = target.prediction.model
    return sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[f"sha256={model.sha256}", RESEARCH],
    )


def _reference(target: Target) -> tuple[str, str]:
    return target.source.SOPClassUID, target.source.SOPInstanceUID
