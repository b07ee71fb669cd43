"""The network that finds both lung fields."""

from collections.abc import Callable

from torch import Tensor, nn

from wscxr.engines import Blueprint
from wscxr.model.unet import UNet

INPUT_SIDE = 128
"""Side of the square the network looks at, px."""

_WIDTHS = (24, 32, 40, 48, 64)


class LungNetwork(nn.Module):
    """Finds both lung fields of a frontal, upright chest radiograph; 0.26 million parameters.

    A lung field covers the lung as it would be without disease: opacities, and most of the lung
    behind the heart, are inside. Of anything else, negatives and upside-down chests among them, it
    finds none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet(_WIDTHS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Find lung fields.

        Parameters
        ----------
        pictures
            float32 of shape (B, 1, INPUT_SIDE, INPUT_SIDE), percentile-stretched to [0, 1].

        Returns
        -------
        Tensor
            Logits of the same shape, positive in the lungs.
        """
        lungs: Tensor = self.unet(pictures)
        return lungs


def lung_blueprint(sha256: str, build: Callable[[], LungNetwork]) -> Blueprint:
    """Describe a lung network for an engine.

    Parameters
    ----------
    sha256
        Hash of its weights.
    build
        Makes it.
    """
    # The frame, and so all that is seen in it, moves with the lungs' edge.
    return Blueprint(
        shape=(1, INPUT_SIDE, INPUT_SIDE),
        key=f"lungs {sha256}",
        build=build,
        one_core=True,
        exact=True,
    )
