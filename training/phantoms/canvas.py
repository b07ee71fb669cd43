"""Drawing of structures too thin to be computed pixel by pixel."""

import numpy as np
from PIL import Image, ImageDraw

from training.phantoms.geometry import Points, View
from training.phantoms.planes import Plane

_OVERSAMPLING = 2


class Layer:
    """Oversampled canvas, empty at first; later shapes replace earlier ones.

    Lengths and positions are in body units; densities are 0 (nothing) to 1.

    Parameters
    ----------
    view
        Places the shapes in the image.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._image = Image.new("L", (view.size * _OVERSAMPLING,) * 2)
        self._draw = ImageDraw.Draw(self._image)

    def _path(self, points: Points) -> list[float]:
        path: list[float] = (self._view.to_pixels(points) * _OVERSAMPLING).ravel().tolist()
        return path

    def polygon(self, points: Points, density: float) -> None:
        """Fill the polygon with these corners."""
        self._draw.polygon(self._path(points), fill=round(255 * density))

    def line(self, points: Points, width: float, density: float) -> None:
        """Draw a line through these points."""
        width = self._view.pixels(width) * _OVERSAMPLING
        # A line cannot be thinner than one canvas pixel: below that it gets fainter instead.
        ink = round(255 * density * min(1.0, width))
        self._draw.line(self._path(points), fill=ink, width=max(1, round(width)))

    def bone(self, points: Points, width: float, density: float) -> None:
        """Draw a long bone around an axis: dense cortex around fainter marrow."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across *= 0.5 * width / np.linalg.norm(along, axis=1, keepdims=True)
        for scale, ink in ((1.0, density), (0.66, 0.72 * density)):
            edges = [points + scale * across, (points - scale * across)[::-1]]
            self.polygon(np.concatenate(edges), ink)

    def plane(self, softness: float) -> Plane:
        """Density of what was drawn.

        Parameters
        ----------
        softness
            Standard deviation, in body units, of the blur that softens the edges.

        Returns
        -------
        Plane
            0 to 1, of shape (size, size).
        """
        density = np.asarray(self._image.reduce(_OVERSAMPLING), dtype=np.float32) / 255.0
        return self._view.blur(density, softness)
