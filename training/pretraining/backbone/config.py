"""The settings of pretraining a backbone; importable without PyTorch."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from training.pretraining.config import Seed
from wscxr import shipped
from wscxr.choices import file_of, source_of

if TYPE_CHECKING:
    from wscxr.model.backbone import BackboneConfig


class ObjectiveName(StrEnum):
    """What pretraining minimises."""

    GLOBAL = "global"
    """VICReg on each view's mean feature (Bardes et al., ICLR 2022)."""

    DENSE = "dense"
    """VICReg on pairs of patches at one place of the radiograph (as VICRegL, NeurIPS 2022)."""

    BOTH = "both"
    """The sum of these two."""


class RandomView(BaseModel):
    """How a view of a radiograph is drawn.

    Attributes
    ----------
    size
        Side of a view, px.
    scale
        Smallest and largest side of the crop, as fractions of the radiograph's. Lungs must keep a
        size that the detector will see them at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=96, ge=32, le=1024)
    scale: tuple[float, float] = (0.45, 1.0)

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Self:
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ValueError("scale must be a range within (0, 1]")
        return self


class PretrainConfig(BaseModel):
    """Settings of one pretraining run.

    Nothing behind the layer where the backbone is cut is trained or kept. Views, drawn as `view`
    says, have no option.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = Field(
        default=shipped.ARCHITECTURE,
        description="Torchvision classification model.",
        json_schema_extra={"metavar": "NAME"},
    )
    layer: str = Field(
        default="",
        description="Module at which the backbone is cut; the family's default if none is named.",
        json_schema_extra={"metavar": "NAME"},
    )
    weights: str = Field(
        default="random",
        description="Weights that training starts from.",
        json_schema_extra={"metavar": "random|cxr|imagenet|FILE"},
    )
    image_size: int = Field(
        default=192, ge=32, le=2048, description="Side of radiographs held in memory, px."
    )
    view: RandomView = Field(
        default=RandomView(), description="How views of a radiograph are drawn."
    )
    objective: ObjectiveName = Field(
        default=ObjectiveName.BOTH,
        description="What training minimises: VICReg on mean features (global), on patches of one "
        "place (dense), or on both.",
    )
    epochs: PositiveInt = Field(default=24, description="How often each radiograph is seen.")
    batch_size: int = Field(
        default=96, ge=2, description="Radiographs in one step, each in two views."
    )
    learning_rate: float = Field(
        default=2e-3,
        gt=0,
        description="Of AdamW; it rises over the first tenth of the steps and falls to 0 along a "
        "cosine.",
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="Of AdamW.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _layer_is_known(self) -> Self:
        if len(self.backbone_config.layers) != 1:
            raise ValueError("pretraining needs one layer")
        object.__setattr__(self, "layer", self.backbone_config.layers[0])
        return self

    @property
    def backbone_config(self) -> "BackboneConfig":
        """The network before it is trained."""
        # Here, because a command's help must not wait for PyTorch.
        from wscxr.model.backbone import BackboneConfig

        return BackboneConfig(
            architecture=self.backbone,
            layers=(self.layer,) if self.layer else (),
            source=source_of(self.weights),
        )

    @property
    def weights_file(self) -> Path | None:
        """The weights file to start from, where there is one."""
        return file_of(self.weights)
