"""The settings of the lung network's training; importable without PyTorch."""

from pydantic import Field

from training.pretraining.config import DescentConfig


class LungsConfig(DescentConfig):
    """Settings of one training run of the lung network."""

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
