"""What is found of drift, as the API answers it and the command prints it."""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.records.record import Source
from wscxr.bundle.identity import ModelIdentity

Quantity = Literal["score", "ood_score", "brightness", "contrast", "sharpness"]
QUANTITIES: tuple[Quantity, ...] = ("score", "ood_score", "brightness", "contrast", "sharpness")

ReferenceKind = Literal["calibration", "first_weeks"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DriftComparison(_Part):
    """One quantity of some weeks' images against a reference."""

    quantity: Quantity
    reference: ReferenceKind = Field(
        description="calibration: the bundle's own calibration normals, compared with the images "
        "that were called normal; first_weeks: the first images from there, all of them."
    )
    n: int = Field(description="Images compared, one for each patient where patients are known.")
    n_reference: int
    median: float
    reference_median: float
    ks: float = Field(description="Kolmogorov-Smirnov distance, from 0 to 1.")
    ks_limit: float = Field(description="What it hardly exceeds by chance with so many images.")
    psi: float = Field(description="Population stability index, at least 0.")
    psi_limit: float = Field(description="What it hardly exceeds by chance with so many images.")

    @property
    def drifted(self) -> bool:
        """Whether either measure is above its limit."""
        return self.ks > self.ks_limit or self.psi > self.psi_limit


class FalseAlarms(_Part):
    """Radiographs that were judged normal, and how many of them had been called abnormal."""

    alarms: int
    n: int = Field(description="Radiographs judged normal.")
    rate: float
    low: float = Field(description="Exact interval (Clopper-Pearson), 95 %: its lower end,")
    high: float = Field(description="and its upper end.")
    promised: float | None = Field(
        description="The rate that the calibration expects; null where the bundle is not known."
    )
    fair: bool = Field(
        description="Whether those called normal are judged nearly as often as those called "
        "abnormal; otherwise the rate is too high, and nothing is concluded from it."
    )


class Warned(_Part):
    """Something to look after."""

    text: str = Field(description="What has changed, and what to do.")
    analyses: list[UUID] = Field(description="Images to look at.")


class DriftRow(_Part):
    """One week of the images of one device, from one source, that one model answered."""

    week: date = Field(description="Its Monday, in UTC.")
    model: ModelIdentity
    source: Source
    manufacturer: str | None = Field(description="DICOM: Manufacturer (0008,0070).")
    device: str | None = Field(description="DICOM: Manufacturer's Model Name (0008,1090).")
    n: int = Field(description="Images of the week.")
    weeks: int = Field(
        description="Weeks compared, this one the last: several where each has few images."
    )
    abnormal_share: float = Field(description="Share of the week's images called abnormal.")
    comparisons: list[DriftComparison] = Field(description="Empty where there are too few images.")
    false_alarms: FalseAlarms | None = Field(description="Null where nothing was judged normal.")
    warnings: list[Warned]


class DriftReport(_Part):
    """The weeks of every model, source and device, oldest first, and what is to be looked after."""

    rows: list[DriftRow]
    notes: list[str] = Field(description="What could not be compared, and why.")
