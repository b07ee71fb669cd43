"""The golden check: a few generated images with the scores they must give, the OOD score too.

A bundle that looks for the lungs has a phantom chest beside them.

It travels with a bundle and runs whenever one is loaded, through the very path an upload takes, so
that a library, processor or decoder that changes the numbers is caught before the first patient.
"""

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from wscxr.choices import EngineName, Precision
from wscxr.engines import EngineIdentity
from wscxr.errors import CorruptImage, GoldenCheckFailed
from wscxr.imaging import Radiograph, read_radiograph

TOLERANCE = 1e-3
"""Allowed difference, times a score's size where that is above 1: processors round differently."""

TOLERANCE_BFLOAT16 = 5e-2
"""The same where either set of scores was computed in bfloat16, which rounds to eight bits."""

_FIRST = EngineIdentity(name=EngineName.TORCH, precision=Precision.FLOAT32)
"""What bundles were written with before there was a choice."""

_COUNT = 3
_SIDE = 96


class GoldenScores(NamedTuple):
    """Image-level score and OOD score of one golden image; no OOD score without a scorer."""

    score: float
    ood_score: float | None


class GoldenCase(BaseModel):
    """One generated image and its scores; part of the bundle.

    Attributes
    ----------
    png
        The file, base64.
    score
        The image-level score it must give.
    ood_score
        The OOD score it must give; None where the bundle has no OOD scorer.
    engine
        What computed these scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    png: str
    score: float
    ood_score: float | None = None
    engine: EngineIdentity = _FIRST

    def radiograph(self) -> Radiograph:
        """Read the image as an upload is read."""
        return _read(self.png)


Scorer = Callable[[Sequence[Radiograph]], Sequence[GoldenScores]]
"""Radiographs -> their scores, in one batch."""


def make_golden(score: Scorer, engine: EngineIdentity, *, chest: bool = False) -> list[GoldenCase]:
    """Generate the images and record the scores they give now.

    The images are sums of a few plane waves: they belong to no patient and have structure on
    every scale a backbone looks at.

    Parameters
    ----------
    score
        Gives the scores.
    engine
        What computes them.
    chest
        Add a phantom of a chest, in which lungs can be found.
    """
    pngs = [_wave_png(seed) for seed in range(_COUNT)] + ([_chest_png()] if chest else [])
    images = [base64.b64encode(png).decode() for png in pngs]
    found = score([_read(png) for png in images])
    return [
        GoldenCase(png=png, score=scores.score, ood_score=scores.ood_score, engine=engine)
        for png, scores in zip(images, found, strict=True)
    ]


def check_golden(cases: Sequence[GoldenCase], score: Scorer, engine: EngineIdentity) -> None:
    """Score the images again and compare.

    Parameters
    ----------
    cases
        The images, and their scores when the bundle was written.
    score
        Gives the scores now.
    engine
        What computes them.

    Raises
    ------
    GoldenCheckFailed
        A score differs by more than `TOLERANCE`, or `TOLERANCE_BFLOAT16`, or is not finite.
    """
    found = score([case.radiograph() for case in cases])
    for number, (case, scores) in enumerate(zip(cases, found, strict=True)):
        coarse = Precision.BFLOAT16 in (engine.precision, case.engine.precision)
        allowed = TOLERANCE_BFLOAT16 if coarse else TOLERANCE
        _compare(f"golden image {number} scores", scores.score, case.score, allowed)
        _compare(f"golden image {number} has OOD score", scores.ood_score, case.ood_score, allowed)


def _compare(what: str, value: float | None, expected: float | None, allowed: float) -> None:
    if value is None and expected is None:
        return
    if value is None or expected is None:
        raise GoldenCheckFailed(f"{what} {value} here, but {expected} when the bundle was written")
    # Written so that NaN fails.
    if not abs(value - expected) <= allowed * max(1.0, abs(expected)):
        raise GoldenCheckFailed(
            f"{what} {value:.6f} here, but {expected:.6f} when the bundle was written; its scores "
            "cannot be trusted on this machine"
        )


def _read(png: str) -> Radiograph:
    try:
        data = base64.b64decode(png)
    except binascii.Error:
        raise CorruptImage("the golden image is not in base64") from None
    return read_radiograph(data)


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


def _chest_png() -> bytes:
    """``wscxr phantoms DIR --normal 2 --abnormal 0 --size 96 --seed 0``, the second image."""
    return files("wscxr.bundle").joinpath("chest.png").read_bytes()
