"""The settings that the dense networks' trainings share; importable without PyTorch."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Seed = Annotated[
    int,
    Field(
        ge=0,
        lt=2**32,
        description="The same seed gives the same weights, byte for byte, on the same CPU and "
        "number of threads.",
    ),
]


class DescentConfig(BaseModel):
    """Settings of `training.pretraining.descent.AveragedDescent`, and of its random stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = Field(default=3000, description="Optimiser steps.")
    batch_size: int = Field(default=16, ge=2, description="Radiographs in one step.")
    learning_rate: float = Field(
        default=4e-3,
        gt=0,
        description="Of AdamW; it rises over the first twentieth of the steps and falls to 0 along "
        "a cosine.",
    )
    weight_decay: float = Field(default=1e-3, ge=0, description="Of AdamW.")
    average: float = Field(
        default=0.998,
        ge=0,
        lt=1,
        description="Decay of the running average of the weights; the average is what is kept.",
    )
    seed: Seed = 0
