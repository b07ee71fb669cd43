"""A radiograph -> its lung fields, and the frame around them."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wscxr.anatomy.box import LungBox, lung_box
from wscxr.anatomy.frame import Frame
from wscxr.anatomy.network import INPUT_SIDE, LungNetwork
from wscxr.choices import Intensity
from wscxr.engines import Network
from wscxr.imaging import Radiograph, View, to_unit_range
from wscxr.model.unet import load_weights, probability

MARGIN = 0.03
"""Added to each side of the lung box, as a share of the box: what borders on the lungs is seen."""

_SHIPPED = Path("weights") / "lungs.safetensors"


@dataclass(frozen=True, eq=False)
class LungFields:
    """Both lung fields of one radiograph.

    Attributes
    ----------
    probability
        Of lung, float32 of shape (INPUT_SIDE, INPUT_SIDE), over the whole picture.
    box
        Around both of them; None where none were found.
    """

    probability: NDArray[np.float32]
    box: LungBox | None

    @property
    def found(self) -> bool:
        """Whether the picture shows the lungs of an upright chest, in positive tones."""
        return self.box is not None

    def frame(self, radiograph: Radiograph) -> Frame:
        """The frame of this radiograph: the lung box and `MARGIN`, or else the whole picture."""
        if self.box is None:
            return Frame.whole(radiograph)
        return self.box.widened(MARGIN).on(radiograph)


def shipped_lung_network() -> LungNetwork:
    """The lung network that comes with the project, in evaluation mode, on the CPU."""
    return load_weights(LungNetwork(), Path(str(files("wscxr.anatomy"))) / _SHIPPED)


def find_lungs(network: Network, seen: Radiograph | View) -> LungFields:
    """Find the lung fields of a radiograph.

    One by one and on one core (see `DenseNetwork.blueprint`): batches of another size, or another
    number of cores, could round differently, and a frame must not depend on what else is computed.

    Parameters
    ----------
    network
        A `LungNetwork` that an engine runs.
    seen
        As read, or a view of it.
    """
    picture = to_unit_range(seen, INPUT_SIDE, Intensity.PERCENTILE)
    found = probability(network, picture)
    return LungFields(found, lung_box(found))
