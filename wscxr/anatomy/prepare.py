"""A radiograph -> the model input, in the frame the detector looks at."""

from dataclasses import dataclass

from torch import Tensor

from wscxr.anatomy.frame import Frame
from wscxr.anatomy.lungs import LungFields, find_lungs
from wscxr.anatomy.network import LungNetwork
from wscxr.imaging import InputConfig, Radiograph, to_model_input


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What a detector sees of one radiograph, and where that lies.

    Attributes
    ----------
    tensor
        float32 of shape (3, size, size).
    frame
        The part of the radiograph that it shows.
    lungs
        The lung fields around which the frame lies; None where nobody looked for them.
    """

    tensor: Tensor
    frame: Frame
    lungs: LungFields | None

    @property
    def shows_lungs(self) -> bool:
        """Whether lung fields were looked for and found."""
        return self.lungs is not None and self.lungs.found


class Preparation:
    """Makes model inputs: in training, in Python and in the service alike.

    Parameters
    ----------
    config
        How a radiograph becomes a model input.
    lungs
        Finds the lung fields that every radiograph is cropped to; None to take it whole. In
        evaluation mode, on the CPU.
    """

    def __init__(self, config: InputConfig, lungs: LungNetwork | None) -> None:
        self.config = config
        self.lungs = lungs

    def __call__(self, radiograph: Radiograph) -> ModelInput:
        """Prepare one radiograph; may be called on several threads at once.

        Where no lungs are found, the whole picture is the frame.
        """
        lungs = None if self.lungs is None else find_lungs(self.lungs, radiograph)
        frame = Frame.whole(radiograph) if lungs is None else lungs.frame(radiograph)
        shown = radiograph if frame.is_whole else frame.crop(radiograph)
        return ModelInput(to_model_input(shown, self.config), frame, lungs)
