"""Comprehensive 3D SR by TID 1500 (PS3.16): the numbers and where they come from."""

from collections.abc import Iterator

import numpy as np
from highdicom import sr
from pydicom import Dataset

from wscxr.model.calibration import Decision
from wscxr.results.dicom import codes
from wscxr.results.dicom.identity import MANUFACTURER, MODEL_NAME, RESEARCH
from wscxr.results.dicom.region import outlines, peaks
from wscxr.results.dicom.target import Target


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
        procedure_reported=codes.CHEST_RADIOGRAPHY,
        imaging_measurements=[_image_group(target), *_region_groups(target)],
        title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    return sr.Comprehensive3DSR(
        evidence=[target.source],
        content=report,
        is_complete=True,
        **target.common,
    )


def _image_group(target: Target) -> sr.MeasurementsAndQualitativeEvaluations:
    prediction = target.prediction
    decision = codes.ABNORMAL if prediction.decision is Decision.ABNORMAL else codes.NORMAL
    evaluations = [
        sr.QualitativeEvaluation(codes.DECISION, decision),
        sr.QualitativeEvaluation(codes.RESEARCH_ONLY, codes.RESEARCH_ONLY),
    ]
    measurements = [
        sr.Measurement(codes.SCORE, prediction.score, codes.NO_UNITS),
        sr.Measurement(codes.P_VALUE, prediction.p_value, codes.NO_UNITS),
        sr.Measurement(codes.THRESHOLD, prediction.threshold, codes.NO_UNITS),
    ]
    if prediction.ood_score is None:
        evaluations.append(sr.QualitativeEvaluation(codes.TRUST, codes.NOT_CHECKED))
    else:
        measurements.append(sr.Measurement(codes.OOD_SCORE, prediction.ood_score, codes.NO_UNITS))
    if prediction.out_of_distribution:
        evaluations.append(sr.QualitativeEvaluation(codes.TRUST, codes.UNLIKE_TRAINING))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(target.uid("tracking", "image"), "image"),
        finding_type=codes.ANOMALY,
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
            finding_type=codes.ANOMALY,
            algorithm_id=_algorithm(target),
            measurements=[sr.Measurement(codes.PEAK, peak, codes.NO_UNITS)],
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
