"""What passes between the parts of a run, as Arrow tables: work items in, rows out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wscxr.bundle.identity import ModelIdentity
from wscxr.engines.identity import EngineIdentity

CHUNK = 32
"""Work items that a scoring process takes at a time."""

ITEMS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("place", pa.binary(), nullable=False),
    ]
)
"""A work item: its place in the work list, the id of its row, and where its bytes are: a path as
the system spells it, or Study, Series and SOP Instance UID with slashes between them."""

ROWS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("decision", pa.string()),
        pa.field("ood_score", pa.float64()),
        pa.field("warnings", pa.list_(pa.string())),
        pa.field("anomaly_map", pa.binary()),
        pa.field("error", pa.string()),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_sha256", pa.string(), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("precision", pa.string(), nullable=False),
    ]
)
"""A row: what the bundle says of one instance, or the code of what went wrong with it."""

SHARD = pa.schema([field for field in ROWS if field.name != "number"])
"""A row as it is written."""


@dataclass(frozen=True)
class Item:
    """One work item; see `ITEMS`."""

    number: int
    id: str
    place: bytes


@dataclass(frozen=True)
class ScoredBy:
    """The bundle that scores, and what runs it."""

    model: ModelIdentity
    engine: EngineIdentity


def items_of(batch: pa.RecordBatch) -> list[Item]:
    """The work items of a batch."""
    return [Item(**values) for values in batch.to_pylist()]


def chunks_of(batches: "Iterator[pa.RecordBatch]", size: int = CHUNK) -> Iterator[pa.RecordBatch]:
    """Cut batches into ones of at most `size` items."""
    for batch in batches:
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)


def failed_row(item: Item, by: ScoredBy, code: str) -> dict[str, Any]:
    """The row of an instance that has no score."""
    return {**_keys(item, by), "error": code}


def scored_row(item: Item, by: ScoredBy, **values: Any) -> dict[str, Any]:
    """The row of an instance that has a score; `values` by the names in `ROWS`."""
    return {**_keys(item, by), **values}


def _keys(item: Item, by: ScoredBy) -> dict[str, Any]:
    return {
        "number": item.number,
        "id": item.id,
        "model_name": by.model.name,
        "model_version": by.model.version,
        "model_sha256": by.model.sha256,
        "engine": by.engine.name.value,
        "precision": by.engine.precision.value,
    }


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as one Arrow batch; what a row lacks is null."""
    return pa.RecordBatch.from_pylist(rows, schema=ROWS)
