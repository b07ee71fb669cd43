"""What bundle.json says: the schema of the artifact that training hands to serving."""

import platform
from typing import Annotated, Literal, Self

import numpy as np
import PIL
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from wscxr import __version__
from wscxr.bundle import schema
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.reference import Reference
from wscxr.choices import Align, ScoreRule, WeightsSource
from wscxr.engines import EngineIdentity
from wscxr.imaging import InputConfig
from wscxr.model.backbone import BackboneConfig
from wscxr.model.calibration import Calibration
from wscxr.model.heads import HeadConfig
from wscxr.model.lesions import LesionWitness
from wscxr.model.ood import OodConfig
from wscxr.results.png import ColourScale

FileName = Literal[
    "discriminator.safetensors",
    "ood.safetensors",
    "backbone.safetensors",
    "lungs.safetensors",
    "lesions.safetensors",
    "golden.json",
    "MODEL_CARD.md",
]
Sha256 = str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Versions(_Part):
    """Versions of what computed the features and the scores."""

    wscxr: str
    python: str
    torch: str
    torchvision: str
    numpy: str
    pillow: str

    @classmethod
    def current(cls) -> Self:
        """The versions running now."""
        import torchvision  # costs a service that starts as much as PyTorch, and is not needed

        return cls(
            wscxr=__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            torchvision=torchvision.__version__,
            numpy=np.__version__,
            pillow=PIL.__version__,
        )


class Provenance(_Part):
    """How the detector was trained; nothing here names a file or a patient.

    Attributes
    ----------
    method, citation
        Name of the method, and what it is and where it comes from.
    n_normal, n_calibration
        Normal images the head was trained on, and normal images kept aside for
        calibration.
    k
        Number of anomaly images; 0 for a method that uses none.
    seed
        The run's seed.
    config
        The resolved training configuration.
    data_sha256
        Hash over the contents of all images used, whatever their names.
    metrics
        What training measured on its own data, as fractions or losses; never on test data.
    engine
        What computed the features; None in a bundle of an older schema, where it was PyTorch.
    """

    method: str
    citation: str
    n_normal: PositiveInt
    n_calibration: PositiveInt
    k: NonNegativeInt
    seed: int
    config: dict[str, JsonValue]
    data_sha256: Sha256
    metrics: dict[str, float]
    engine: EngineIdentity | None = None
    versions: Versions


class Population(_Part):
    """The patients a bundle is for; either end of the range may be open.

    Attributes
    ----------
    min_age, max_age
        Age in whole years, both included.
    """

    min_age: Annotated[int, Field(ge=0, le=130)] | None = None
    max_age: Annotated[int, Field(ge=0, le=130)] | None = None

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError("min_age is above max_age")
        return self

    def holds(self, age: float) -> bool:
        """Whether a patient of an age in years belongs to it."""
        low = 0 if self.min_age is None else self.min_age
        # A child of 5 years and 11 months is 5 years old.
        return low <= age and (self.max_age is None or age < self.max_age + 1)

    def __str__(self) -> str:
        """In words, for a model card and for the reader of an answer."""
        match self.min_age, self.max_age:
            case None, None:
                return "all ages"
            case None, high:
                return f"up to {high} years"
            case low, None:
                return f"{low} years and older"
            case low, high:
                return f"{low} to {high} years"


class SiteCalibration(_Part):
    """A calibration on a site's own images, in place of that of the training.

    Nothing here names a file or a patient.

    Attributes
    ----------
    source
        The bundle that was calibrated again: its weights are the same, byte for byte.
    images
        ``normal``: the site called every image normal. ``unlabelled``: nobody had looked, and
        the scores of the normal ones were estimated.
    n
        How many images.
    abnormal_share
        Estimated share of abnormal ones among them, in [0, 1); 0 where all were called normal.
    data_sha256
        Hash over the contents of the images, whatever their names.
    versions
        What computed the scores.
    """

    source: ModelIdentity
    images: Literal["normal", "unlabelled"]
    n: PositiveInt
    abnormal_share: Annotated[float, Field(ge=0, lt=1)]
    data_sha256: Sha256
    versions: Versions


class BundleManifest(_Part):
    """Everything a bundle says of itself; the content of bundle.json.

    Attributes
    ----------
    schema_version
        Version of this schema.
    backbone, backbone_sha256
        Architecture, layers and source of the weights; `weights_sha256` of them.
    input
        How a radiograph becomes a model input.
    align
        Which part of a radiograph becomes the model input. Where it is the lungs' box, the network
        that finds the lungs is one of the files.
    p
        Side of the neighbourhood of a patch feature.
    score_rule
        How a map becomes an image-level score.
    head
        What scores a patch feature, and its shape.
    lesions
        How the detector hears the network that finds lesions, which is one of the files then; None
        where it hears the head alone.
    ood
        Shape of the OOD scorer, which flags images unlike the training images; None in a bundle of
        schema 1 or 2.
    population
        The patients it is for; None where nobody declared them.
    calibration
        Threshold and p-values.
    reference
        What the calibration images look like, to find drift; None in a bundle that was written
        before there was one.
    colour_scale
        Which map values the colours of an overlay stand for.
    training
        Provenance.
    site
        The site whose images calibrated it; None for the calibration of the training.
    files
        SHA-256 of every other file of the bundle.
    sha256
        The `digest` of the bundle.json on disk: the identity of the bundle.
    """

    schema_version: Literal[5] = schema.CURRENT
    backbone: BackboneConfig
    backbone_sha256: Sha256
    input: InputConfig
    align: Align
    p: PositiveInt
    score_rule: ScoreRule
    head: HeadConfig
    lesions: LesionWitness | None = None
    ood: OodConfig | None
    population: Population | None = None
    calibration: Calibration
    reference: Reference | None = None
    colour_scale: ColourScale
    training: Provenance
    site: SiteCalibration | None = None
    files: dict[FileName, Sha256]
    sha256: Sha256 = ""

    def digest(self) -> Sha256:
        """See `wscxr.bundle.schema.digest`."""
        return schema.digest(self.model_dump(mode="json"))

    def sealed(self) -> Self:
        """The same manifest with its own digest filled in."""
        return self.model_copy(update={"sha256": self.digest()})

    @property
    def warnings(self) -> list[str]:
        """What a reader of this bundle's scores must know."""
        found = []
        if self.backbone.source is WeightsSource.RANDOM:
            found.append(
                "RANDOM BACKBONE: the backbone was never trained. For demonstrations and tests "
                "only; its scores mean nothing on patients."
            )
        if self.calibration.expected_false_alarm_rate > self.calibration.false_alarm_rate:
            found.append(
                f"FEW CALIBRATION IMAGES: with {len(self.calibration.scores)} of them the expected "
                f"false-alarm rate is {self.calibration.expected_false_alarm_rate:.3f}, above the "
                f"{self.calibration.false_alarm_rate:.3f} that was asked for."
            )
        if self.site is not None and self.site.images == "unlabelled":
            found.append(
                f"CALIBRATED ON UNLABELLED IMAGES: threshold and p-values rest on {self.site.n} "
                "images that nobody had looked at; the false-alarm rate is an estimate, not a "
                "promise."
            )
        if self.ood is None:
            found.append(
                "NO OOD SCORER: this bundle cannot flag images that are unlike its training "
                "images; a photograph or another part of the body gets a score as well."
            )
        return found
