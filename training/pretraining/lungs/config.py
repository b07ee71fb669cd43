"""The settings of the lung network's training; importable without PyTorch."""

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class LungsConfig(BaseModel):
    """Settings of one training run of the lung network."""

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
    teach_after: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Fraction of the steps after which the average's own masks of unlabelled "
        "radiographs are learned too (mean teacher), and mispaired masks are dropped.",
    )
    unlabelled_share: float = Field(
        default=0.25,
        ge=0,
        le=0.75,
        description="Share of a batch that is drawn from the unlabelled radiographs, if there are "
        "any.",
    )
    settle_after: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Fraction of the steps after which pictures vary as little as radiographs "
        "really do, so that edges are learned exactly.",
    )
    mispaired_below: float = Field(
        default=0.75,
        ge=0,
        lt=1,
        description="A mask whose Dice coefficient with the network's own is lower at that point "
        "belongs to another radiograph and is dropped.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="The same seed gives the same weights, byte for byte, on the same CPU and "
        "number of threads.",
    )
