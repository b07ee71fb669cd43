"""The golden check: a few generated images with the scores they must give.

It travels with a bundle and runs whenever one is loaded, through the very path an upload takes, so
that a library, processor or decoder that changes the numbers is caught before the first patient.
"""

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from wscxr.errors import GoldenCheckFailed
from wscxr.imaging import Radiograph, read_radiograph

TOLERANCE = 1e-3
"""Allowed difference, times a score's size where that is above 1: processors round differently."""

_COUNT = 3
_SIDE = 96


class GoldenCase(BaseModel):
    """One generated image and its score; part of the bundle.

    Attributes
    ----------
    png
        The file, base64.
    score
        The image-level score it must give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    png: str
    score: float

    def radiograph(self) -> Radiograph:
        """Read the image as an upload is read."""
        return read_radiograph(base64.b64decode(self.png))


Scorer = Callable[[Sequence[Radiograph]], Sequence[float]]
"""Radiographs -> image-level scores, in one batch."""


def make_golden(score: Scorer) -> list[GoldenCase]:
    """Generate the images and record the scores they give now.

    The images are sums of a few plane waves: they belong to no patient and have structure on
    every scale a backbone looks at.
    """
    images = [base64.b64encode(_wave_png(seed)).decode() for seed in range(_COUNT)]
    radiographs = [GoldenCase(png=png, score=0.0).radiograph() for png in images]
    return [
        GoldenCase(png=png, score=value)
        for png, value in zip(images, score(radiographs), strict=True)
    ]


def check_golden(cases: Sequence[GoldenCase], score: Scorer) -> None:
    """Score the images again and compare.

    Raises
    ------
    GoldenCheckFailed
        A score differs by more than `TOLERANCE`, or is not finite.
    """
    scores = score([case.radiograph() for case in cases])
    for number, (case, value) in enumerate(zip(cases, scores, strict=True)):
        # Written so that NaN fails.
        if not abs(value - case.score) <= TOLERANCE * max(1.0, abs(case.score)):
            raise GoldenCheckFailed(
                f"golden image {number} scores {value:.6f} here, but {case.score:.6f} when the "
                "bundle was written; its scores cannot be trusted on this machine"
            )


def _wave_png(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    picture = np.zeros((_SIDE, _SIDE))
    for frequency in (1, 2, 4, 8, 16):
        angle, phase = rng.uniform(0, 2 * np.pi, size=2)
        wave = 2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase
        picture += np.sin(wave) / np.sqrt(frequency)
    span = picture.max() - picture.min()
    pixels = np.round(255 * (picture - picture.min()) / span).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
