"""What a bundle says of one radiograph."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wscxr.anatomy.facts import LungFacts
from wscxr.anatomy.lungs import LungFields
from wscxr.bundle.identity import ModelIdentity
from wscxr.imaging.radiograph import Radiograph
from wscxr.model.calibration import Decision
from wscxr.results.png import ColourScale, MapStyle, map_png, overlay


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle says of one radiograph. Research use only; not a medical device.

    Attributes
    ----------
    model
        The bundle that says it.
    score
        Image-level anomaly score, unbounded; higher is more anomalous.
    p_value
        Conformal p-value of the score among normals, in (0, 1].
    threshold
        The bundle's threshold on the score.
    decision
        Whether the score lies above the threshold.
    ood_score
        At least 0; above 1 the radiograph is unlike the training images. None where the bundle
        has no OOD scorer, as those of schema 1 and 2. A bundle that looks for the lungs adds 1
        where it finds none.
    anomaly_map
        float32 of shape (H', W') over the whole radiograph, unbounded; higher is more anomalous.
        Where the bundle did not look, it lies below the threshold and has no colour.
    colour_scale
        The map values that the colours of an overlay stand for: the bundle's own.
    lung_fields
        What was found of the lungs; None where the bundle does not look for them.
    lungs
        The lung fields themselves, for an outline; None where the bundle does not look for them.
    warnings
        What a reader of the score must know: of the model, of this image, and of how it was read.
    radiograph
        The radiograph the prediction was made from; None where only its model input was given.
    """

    model: ModelIdentity
    score: float
    p_value: float
    threshold: float
    decision: Decision
    ood_score: float | None
    anomaly_map: NDArray[np.float32]
    colour_scale: ColourScale
    lung_fields: LungFacts | None = None
    lungs: LungFields | None = None
    warnings: tuple[str, ...] = ()
    radiograph: Radiograph | None = None

    @property
    def out_of_distribution(self) -> bool:
        """Whether the radiograph is known to be unlike the training images."""
        return self.ood_score is not None and self.ood_score > 1

    def of(self, radiograph: Radiograph) -> Self:
        """Attach the radiograph whose model input was scored, and the warnings of its reader."""
        warnings = (*self.warnings, *radiograph.warnings)
        return replace(self, radiograph=radiograph, warnings=warnings)

    def overlay(self) -> Image.Image:
        """Draw the anomaly map in colour over the radiograph, at the radiograph's own size.

        Returns
        -------
        Image
            RGB.

        Raises
        ------
        ValueError
            The prediction does not hold its radiograph.
        """
        return overlay(self._source(), self.anomaly_map, self.colour_scale)

    def png(self, style: MapStyle = MapStyle.OVERLAY) -> bytes:
        """Encode the anomaly map as PNG in one of the styles; errors as `overlay`."""
        lungs = self.lungs.probability if self.lungs is not None and self.lungs.found else None
        return map_png(self._source(), self.anomaly_map, style, self.colour_scale, lungs)

    def _source(self) -> Radiograph:
        if self.radiograph is None:
            raise ValueError("this prediction does not hold the radiograph it was made from")
        return self.radiograph
