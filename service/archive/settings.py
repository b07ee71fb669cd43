"""The settings of a run, all of them options of ``wscxr archive score``."""

from datetime import date, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from wscxr.imaging.dicom.rules import LateralRule

_DATES = "%Y%m%d"


class ArchiveSettings(BaseModel):
    """Settings of a run over an archive.

    Raises
    ------
    pydantic.ValidationError
        A value is out of range, or two contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Path | None = Field(
        default=None,
        description="Score the files that this CSV names in its column path.",
        json_schema_extra={"metavar": "CSV"},
    )
    dates: str | None = Field(
        default=None,
        description="Score the studies of these days on the DICOMweb server --url.",
        json_schema_extra={"metavar": "YYYYMMDD-YYYYMMDD"},
    )
    bundle: Path | None = Field(
        default=None,
        description="Folder of a bundle; by default, the one that ships.",
        json_schema_extra={"metavar": "BUNDLE"},
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    engine: Literal["auto", "torch", "openvino"] = Field(
        default="auto", description="What runs the networks."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="What they compute in."
    )
    processes: PositiveInt | None = Field(
        default=None,
        description="Processes that score, each with the bundle loaded; by default, one a core, or "
        "one a GPU. On Ray: actors.",
    )
    maps: bool = Field(
        default=False, description="Give each row its anomaly map, as a 16-bit PNG (raw16)."
    )
    shard_rows: PositiveInt = Field(
        default=20_000, description="Rows of one Parquet file, at most."
    )
    id_key_file: Path | None = Field(
        default=None,
        description="Name rows by a keyed hash of path or UIDs, with the key in this file.",
        json_schema_extra={"metavar": "FILE"},
    )
    lateral: LateralRule = Field(
        default=LateralRule.REFUSE, description="What is done with lateral DICOM views."
    )
    ray: str | None = Field(
        default=None,
        description="Score on this Ray cluster: auto, HOST:PORT or ray://HOST:PORT.",
        json_schema_extra={"metavar": "ADDRESS"},
    )

    @field_validator("dates")
    @classmethod
    def _in_order(cls, value: str | None) -> str | None:
        if value is not None:
            first, last = _days(value)
            if first > last:
                raise ValueError("the first day is after the last")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.manifest is not None and self.dates is not None:
            raise ValueError("give a manifest or dates, not both")
        return self

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last day of `dates`."""
        return None if self.dates is None else _days(self.dates)


def _days(text: str) -> tuple[date, date]:
    first, _, last = text.partition("-")
    try:
        return (
            datetime.strptime(first, _DATES).date(),
            datetime.strptime(last or first, _DATES).date(),
        )
    except ValueError:
        raise ValueError("write dates as YYYYMMDD-YYYYMMDD") from None
