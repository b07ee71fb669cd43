"""All settings of pretraining."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from training.pretraining.backbone.objectives import ObjectiveName
from wscxr.bundle import shipped
from wscxr.model.backbone import BackboneConfig
from wscxr.model.weights import file_of, source_of


class View(BaseModel):
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

    Attributes
    ----------
    backbone, layer, weights
        A torchvision classification model, and the module at which it is cut; the default is
        that of `BackboneConfig`. Nothing behind it is trained or kept. Where training starts:
        ``random``, ``cxr``, ``imagenet``, or the path of a weights file.
    image_size
        Side at which radiographs are held in memory, px.
    view
        How views are drawn from them.
    objective
        What training minimises.
    epochs
        How often each radiograph is seen.
    batch_size
        Radiographs in one step, each in two views.
    learning_rate, weight_decay
        Of AdamW; the rate rises over the first tenth of the steps and falls to 0 along a cosine.
    seed
        One seed gives the same weights, byte for byte, on the same CPU and number of threads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = shipped.ARCHITECTURE
    layer: str = ""
    weights: str = "random"
    image_size: int = Field(default=192, ge=32, le=2048)
    view: View = View()
    objective: ObjectiveName = ObjectiveName.BOTH
    epochs: PositiveInt = 24
    batch_size: int = Field(default=96, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _layer_is_known(self) -> Self:
        if len(self.backbone_config.layers) != 1:
            raise ValueError("pretraining needs one layer")
        object.__setattr__(self, "layer", self.backbone_config.layers[0])
        return self

    @property
    def backbone_config(self) -> BackboneConfig:
        """The network before it is trained."""
        return BackboneConfig(
            architecture=self.backbone,
            layers=(self.layer,) if self.layer else (),
            source=source_of(self.weights),
        )

    @property
    def weights_file(self) -> Path | None:
        """The weights file to start from, where there is one."""
        return file_of(self.weights)
