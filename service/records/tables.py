"""The tables of the record, as SQLAlchemy maps them; `service.records.migrations` makes them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    Text,
    and_,
    func,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy.types import TypeDecorator

Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself in a column of type INTEGER alone."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always in UTC; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write a moment in UTC."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read a moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The tables of the record."""


class AnalysisRow(Base):
    """One answer of the service, as it was given.

    Attributes
    ----------
    number
        Counts up in the order of writing.
    image_rows, image_columns, bits
        The image as read.
    manufacturer, device, view, age_band, sex
        What a DICOM header says: manufacturer and model of the equipment, view position, age in
        bands of ten years, sex.
    instance_hash, study_hash, patient_hash
        Keyed hashes of SOP Instance UID, Study Instance UID and Patient ID.
    brightness, contrast, sharpness
        `wscxr.imaging.statistics.ImageStatistics` of the model input.
    image_sha256, map_sha256
        Names of the kept picture and of its anomaly map in the folder of pictures.
    """

    __tablename__ = "analyses"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    id: Mapped[str] = mapped_column(Text, unique=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    request_id: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    caller: Mapped[str] = mapped_column(Text)
    model_name: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str] = mapped_column(Text)
    model_sha256: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    precision: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Double)
    p_value: Mapped[float] = mapped_column(Double)
    threshold: Mapped[float] = mapped_column(Double)
    decision: Mapped[str] = mapped_column(Text)
    ood_score: Mapped[float | None] = mapped_column(Double)
    warnings: Mapped[list[str]] = mapped_column(JSON)
    image_rows: Mapped[int]
    image_columns: Mapped[int]
    bits: Mapped[int]
    manufacturer: Mapped[str | None] = mapped_column(Text)
    device: Mapped[str | None] = mapped_column(Text)
    view: Mapped[str | None] = mapped_column(Text)
    age_band: Mapped[str | None] = mapped_column(Text)
    sex: Mapped[str | None] = mapped_column(Text)
    instance_hash: Mapped[str | None] = mapped_column(Text)
    study_hash: Mapped[str | None] = mapped_column(Text, index=True)
    patient_hash: Mapped[str | None] = mapped_column(Text)
    brightness: Mapped[float] = mapped_column(Double)
    contrast: Mapped[float] = mapped_column(Double)
    sharpness: Mapped[float] = mapped_column(Double)
    image_sha256: Mapped[str | None] = mapped_column(Text)
    map_sha256: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_analyses_time", "time"),
        Index("ix_analyses_unusual", "p_value", "score", "number"),
    )


class ReviewRow(Base):
    """A person's verdict on an analysis; a later one has a higher revision, none is replaced."""

    __tablename__ = "reviews"

    analysis_id: Mapped[str] = mapped_column(
        ForeignKey("analyses.id", ondelete="CASCADE"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    verdict: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(Text)
    time: Mapped[datetime] = mapped_column(UtcDateTime)


class LedgerRow(Base):
    """One link of the hash chain: see `service.records.ledger`.

    Attributes
    ----------
    kind
        analysis, review, or erasure.
    subject
        Id of the analysis, with ``/`` and the revision for a review; of an erasure its reason.
    digest
        Keyed hash of the row's content; of an erasure, of the numbers of the links it covers.
    covers
        Of an erasure: the numbers of the links whose rows it removed.
    link
        Keyed hash of this link and of the one before.
    """

    __tablename__ = "ledger"

    number: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=False)
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, index=True)
    digest: Mapped[str] = mapped_column(Text)
    covers: Mapped[list[int] | None] = mapped_column(JSON)
    link: Mapped[str] = mapped_column(Text)


def latest_review() -> ColumnElement[bool]:
    """The condition that joins an analysis with its latest review."""
    later = aliased(ReviewRow)
    newest = (
        select(func.max(later.revision))
        .where(later.analysis_id == AnalysisRow.id)
        .correlate(AnalysisRow)
        .scalar_subquery()
    )
    return and_(ReviewRow.analysis_id == AnalysisRow.id, ReviewRow.revision == newest)
