"""Segmentation (PS3.3, A.51): the region over the threshold."""

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.coding import Code

from wscxr.results.dicom.identity import RESEARCH
from wscxr.results.dicom.region import region
from wscxr.results.dicom.target import Target

_CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_FAMILY = Code("123109", "DCM", "Artificial Intelligence")


def segmentation(target: Target) -> Dataset:
    """Mark the pixels of the source whose map value exceeds the threshold; there may be none."""
    model = target.prediction.model
    return Segmentation(
        source_images=[target.source],
        pixel_array=region(target).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[
            SegmentDescription(
                segment_number=1,
                segment_label="Anomaly map over threshold",
                segmented_property_category=_CATEGORY,
                segmented_property_type=_CATEGORY,
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=AlgorithmIdentificationSequence(
                    name=model.name,
                    family=_FAMILY,
                    version=model.version,
                    parameters={"sha256": model.sha256},
                ),
                tracking_uid=target.uid("tracking"),
                tracking_id="anomaly",
            )
        ],
        content_description=RESEARCH,
        content_label="ANOMALY",
        omit_empty_frames=False,
        **target.device,
        **target.common,
    )
