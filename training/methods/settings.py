"""The settings of every method that becomes a bundle; importable without PyTorch.

A new method is its settings here and a module with a function ``fit`` that learns by them; it is
then trained, calibrated, saved as a bundle, served, evaluated and put into the tables like any
other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from wscxr.options import split_commas
from wscxr.progress import Track, untracked

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from training.methods.fitting import Fit, OnCheckpoint

_STEPS = "Optimiser steps; there is no early stopping."
_BATCH = "Normal features, and as many anomalous ones, in one step."
_RATE = "Learning rate of the optimiser."
_DECAY = "Weight decay of the optimiser."
_RETENTION = "Retention rate of mining (Eq. 5)."
_MINING = "Keep only the anomaly features that are far from the normal ones (Eq. 4-5)."
_MIXING = "Mix anomaly features with normal ones (Eq. 6)."
_WSCXR = (
    "WSCXR, weakly supervised anomaly detection with image-level labels only (Ni et al., "
    "arXiv 2311.09642, 2023)"
)


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(split_commas)]
"""Numbers above 0 as a tuple, or as text with commas between them; empty text is ()."""


class Method(BaseModel):
    """Settings of one method, and the way to what it learns.

    A subclass has a field ``name`` of one literal value, by which settings and bundles call it.

    Attributes
    ----------
    learner
        Module below `training.methods` whose function ``fit`` learns by these settings.
    uses_anomalies
        Whether it learns from the K anomaly images; if not, K is 0.
    uses_places
        Whether it must know where on the image each feature lies.
    citation
        What it is and where it comes from, one sentence for the model card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learner: ClassVar[str]
    uses_anomalies: ClassVar[bool]
    uses_places: ClassVar[bool] = False
    citation: ClassVar[str]

    def fit(
        self,
        normal: "Tensor",
        anomaly: "Tensor",
        *,
        seed: int,
        device: "torch.device",
        track: Track = untracked,
        on_checkpoint: "OnCheckpoint | None" = None,
    ) -> "Fit":
        """Learn a head from cached patch features.

        `training.methods.fitting.fit_maps` calls it with features in the shape the method takes.

        Parameters
        ----------
        normal
            Normal set M_n, float32 of shape (N, C'), on the CPU; it may lie on disk. Whole maps,
            of shape (images, H', W', C'), for a method that uses places.
        anomaly
            Anomaly set M_a, float32 of shape (A, C'), on the CPU; empty where the method uses
            none. Maps, likewise.
        seed
            The same seed gives the same head, byte for byte, on the same machine.
        on_checkpoint
            Called with the head as it is then, `training.methods.fitting.CHECKPOINTS` times while
            it is trained, the last time when it is finished; must leave the head as it was. Only
            the ``paper`` protocol of the tables listens.

        Raises
        ------
        ConfigError
            Training diverged.
        """
        # Here, because settings must be readable without PyTorch.
        learner = import_module(f"training.methods.{self.learner}")
        fitted: Fit = learner.fit(
            self,
            normal,
            anomaly,
            seed=seed,
            device=device,
            track=track,
            on_checkpoint=on_checkpoint,
        )
        return fitted


class PositionalWscxr(Method):
    """Settings of `training.methods.positional`, the default method."""

    learner: ClassVar[str] = "positional"
    uses_anomalies: ClassVar[bool] = True
    uses_places: ClassVar[bool] = True
    citation: ClassVar[str] = f"{_WSCXR}, on whitened deviations from the normal mean at each place"

    name: Literal["positional"] = "positional"
    by_place: bool = Field(
        default=True, description="Centre by the mean at each place; else by one mean for all."
    )
    rank: PositiveInt = Field(
        default=128,
        description="Directions of largest variance that are whitened and looked at.",
    )
    counted_images: PositiveInt | None = Field(
        default=None,
        description="Anomaly images that the prior goes by, where some are repeated or less sure; "
        "by default, all.",
    )
    mining: bool = Field(default=False, description=_MINING)
    r: float = Field(default=0.2, gt=0, le=1, description=_RETENTION)
    mixing: bool = Field(default=True, description=_MIXING)
    steps: PositiveInt = Field(default=400, description=_STEPS)
    batch_size: PositiveInt = Field(default=1024, description=_BATCH)
    learning_rate: float = Field(default=3e-3, gt=0, description=_RATE)
    weight_decay: float = Field(default=0.1, ge=0, description=_DECAY)


class Wscxr(Method):
    """Settings of `training.methods.wscxr`, the paper's method."""

    learner: ClassVar[str] = "wscxr"
    uses_anomalies: ClassVar[bool] = True
    citation: ClassVar[str] = _WSCXR

    name: Literal["wscxr"] = "wscxr"
    mining: bool = Field(default=True, description=_MINING)
    r: float = Field(default=0.2, gt=0, le=1, description=_RETENTION)
    mixing: bool = Field(default=True, description=_MIXING)
    hidden: Widths = Field(
        default=(256,), description="Width of each hidden layer of the discriminator."
    )
    steps: PositiveInt = Field(default=500, description=_STEPS)
    batch_size: PositiveInt = Field(default=512, description=_BATCH)
    learning_rate: float = Field(default=1e-3, gt=0, description=_RATE)
    weight_decay: float = Field(default=1e-2, ge=0, description=_DECAY)


class AuthorsRecipe(Method):
    """Settings of `training.methods.authors`, the recipe of the paper's public code."""

    learner: ClassVar[str] = "authors"
    uses_anomalies: ClassVar[bool] = True
    citation: ClassVar[str] = f"{_WSCXR}, by the recipe of its authors' public code"

    name: Literal["wscxr-authors"] = "wscxr-authors"
    r: float = Field(default=0.2, gt=0, le=1, description=_RETENTION)
    neighbours: PositiveInt = Field(
        default=5, description="Nearest features of the coreset that mining compares with."
    )
    coreset_ratio: float = Field(
        default=0.5, gt=0, le=1, description="Fraction of the normal features that is kept."
    )
    epochs: PositiveInt = Field(
        default=100,
        description="Passes over the normal set; there is no early stopping.",
    )
    # Our choice: the authors' is not known.
    batch_size: PositiveInt = Field(default=4096, description=_BATCH)
    learning_rate: float = Field(default=2e-4, gt=0, description=_RATE)
    weight_decay: float = Field(default=1e-5, ge=0, description=_DECAY)


class PatchCore(Method):
    """Settings of `training.methods.patchcore`."""

    learner: ClassVar[str] = "patchcore"
    uses_anomalies: ClassVar[bool] = False
    citation: ClassVar[str] = (
        "PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022)"
    )

    name: Literal["patchcore"] = "patchcore"
    # 1 % is the paper's smallest; it keeps a bundle to a few megabytes and a search on a CPU to
    # milliseconds.
    coreset_ratio: float = Field(
        default=0.01, gt=0, le=1, description="Fraction of the normal features that is kept."
    )


class SimpleNet(Method):
    """Settings of `training.methods.simplenet`."""

    learner: ClassVar[str] = "simplenet"
    uses_anomalies: ClassVar[bool] = False
    citation: ClassVar[str] = (
        "SimpleNet (Liu et al., SimpleNet: A Simple Network for Image Anomaly Detection and "
        "Localization, CVPR 2023)"
    )

    name: Literal["simplenet"] = "simplenet"
    # The paper's 0.015 is for raw features: about 0.12 of a channel's deviation in layers 2 and 3
    # of an ImageNet ResNet18, learned over hundreds of epochs. In these steps it is hardly
    # learned; twice as much separated phantoms better.
    noise_std: float = Field(
        default=0.25, gt=0, description="Standard deviation of the noise on standardised features."
    )
    hidden: PositiveInt = Field(
        default=256, description="Width of the discriminator's hidden layer."
    )
    steps: PositiveInt = Field(default=1000, description=_STEPS)
    batch_size: PositiveInt = Field(default=256, description=_BATCH)
    adaptor_learning_rate: float = Field(
        default=1e-4, gt=0, description="Learning rate of the feature adaptor."
    )
    learning_rate: float = Field(default=2e-4, gt=0, description=_RATE)
    weight_decay: float = Field(default=1e-5, ge=0, description=_DECAY)


AnyMethod = Annotated[
    PositionalWscxr | Wscxr | AuthorsRecipe | PatchCore | SimpleNet, Field(discriminator="name")
]

METHODS: dict[str, type[Method]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyMethod)[0])
}
"""Each method's settings by the method's name."""
