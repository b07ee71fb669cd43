"""The network that finds both lung fields."""

from wscxr.model.unet import DenseNetwork

INPUT_SIDE = 128
"""Side of the square the network looks at, px."""


class LungNetwork(DenseNetwork):
    """Finds both lung fields of a frontal, upright chest radiograph; 0.26 million parameters.

    A lung field covers the lung as it would be without disease: opacities, and most of the lung
    behind the heart, are inside. Of anything else, negatives and upside-down chests among them, it
    finds none.
    """

    side = INPUT_SIDE
    widths = (24, 32, 40, 48, 64)
