"""The settings of the lesion network's training; importable without PyTorch."""

from pydantic import Field, PositiveInt

from training.pretraining.config import DescentConfig


class LesionsConfig(DescentConfig):
    """Settings of one training run of the lesion network."""

    steps: PositiveInt = Field(default=2400, description="Optimiser steps.")
    batch_size: int = Field(default=64, ge=2, description="Radiographs in one step.")
    learning_rate: float = Field(
        default=3e-3, gt=0, description=DescentConfig.model_fields["learning_rate"].description
    )
    lesion_share: float = Field(
        default=0.65, gt=0, le=1, description="Share of the pictures with a painted lesion."
    )
    lesion_weight: float = Field(
        default=3.0, gt=0, description="Weight of a lesion's pixel in the loss against another's."
    )
    teach_after: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="Fraction of the steps after which the average's own maps of unlabelled "
        "radiographs are learned too (mean teacher).",
    )
    unlabelled_share: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Unlabelled radiographs in one step, as a share of batch_size and beside it, "
        "if there are any.",
    )
