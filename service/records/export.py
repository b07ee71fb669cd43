"""The record as a table: CSV, Parquet or JSON lines."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON

from service.records.tables import AnalysisRow, ReviewRow, UtcDateTime
from wscxr.errors import ConfigError

_REVIEW = ("verdict", "note", "reviewer", "revision")
COLUMNS = (
    *(column.key for column in AnalysisRow.__table__.columns),
    *(f"review_{name}" for name in (*_REVIEW, "time")),
)
"""Columns of an export, in order."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BATCH = 5000

Row = dict[str, Any]


def flat(analysis: AnalysisRow, review: ReviewRow | None) -> Row:
    """An analysis with its latest review as one row of an export."""
    row = {name: getattr(analysis, name) for name in COLUMNS if not name.startswith("review_")}
    for name in (*_REVIEW, "time"):
        row[f"review_{name}"] = None if review is None else getattr(review, name)
    return row


def write_export(rows: Iterable[Row], out: Path) -> int:
    """Write rows to a file, by its suffix: .csv, .parquet or .jsonl.

    Parameters
    ----------
    rows
        From `flat`.
    out
        The file; an older one is replaced.

    Returns
    -------
    int
        How many rows there are.

    Raises
    ------
    ConfigError
        The suffix is another, or Parquet's library is not installed.
    """
    writers = {".csv": _write_csv, ".jsonl": _write_lines, ".parquet": _write_parquet}
    if out.suffix not in writers:
        raise ConfigError(f"give a file that ends in {', '.join(writers)}")
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    try:
        writers[out.suffix](counted(), temporary)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write_csv(rows: Iterable[Row], out: Path) -> None:
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for row in rows:
            cells = {name: _plain(value) for name, value in row.items()}
            cells["warnings"] = json.dumps(row["warnings"])
            writer.writerow({name: inert(value) for name, value in cells.items()})


def _write_lines(rows: Iterable[Row], out: Path) -> None:
    with out.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")


def _write_parquet(rows: Iterable[Row], out: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise ConfigError("Parquet needs the extra: pip install 'wscxr[parquet]'") from None
    schema = pa.schema([(name, _arrow(name, pa)) for name in COLUMNS])
    with pq.ParquetWriter(out, schema) as writer:
        for batch in _batches(rows):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _arrow(name: str, pa: Any) -> Any:
    source = ReviewRow if name.startswith("review_") else AnalysisRow
    kind = source.__table__.columns[name.removeprefix("review_")].type
    if isinstance(kind, UtcDateTime):
        return pa.timestamp("us", tz="UTC")
    if isinstance(kind, JSON):
        return pa.list_(pa.string())
    return {int: pa.int64(), float: pa.float64(), str: pa.string()}[kind.python_type]


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def inert(value: object) -> object:
    """Text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
