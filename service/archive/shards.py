"""The rows on disk: Parquet files, each written whole or not at all."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from service.archive.errors import OtherRun, RunUnderWay
from service.archive.rows import SHARD

WORK = ".work"
"""Subfolder for what only a run itself needs."""

_METADATA = b"wscxr"
_MAX_BYTES = 64 * 1024 * 1024
_MAX_AGE_S = 60.0


class Shards:
    """A folder of rows, ``rows-000000.parquet`` and on.

    A shard is written when it is full, has 64 MiB, or a minute after its first row: so much work is
    lost at most when a run is killed, and is done again by the next one. Every shard says in its
    metadata which bundle and which key its rows belong to.

    Parameters
    ----------
    folder
        Made where it is missing.
    ids
        `service.archive.worklist.RowIds.mark` of this run.
    model_sha256
        The bundle of this run.
    max_rows
        Rows of a full shard.

    Raises
    ------
    OtherRun
        The rows in the folder are of another bundle, or have ids of another key.
    """

    def __init__(self, folder: Path, ids: str, model_sha256: str, max_rows: int) -> None:
        self._folder = folder
        self._max_rows = max_rows
        self._rows: list[pa.RecordBatch] = []
        self._since = 0.0
        self._about = {"ids": ids, "model_sha256": model_sha256}
        files = self._files()
        self._next = 1 + max((int(path.stem.rpartition("-")[2]) for path in files), default=-1)
        if files:
            metadata = pq.read_schema(files[0]).metadata or {}
            if json.loads(metadata.get(_METADATA, b"{}")) != self._about:
                raise OtherRun

    @classmethod
    @contextmanager
    def writing(cls, folder: Path, ids: str, model_sha256: str, max_rows: int) -> Iterator[Self]:
        """Open a folder as its only writer, and write the last rows when the block ends.

        Raises
        ------
        OtherRun
            See `Shards`.
        RunUnderWay
            Another run writes into it.
        """
        work = folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunUnderWay from None
            shards = cls(folder, ids, model_sha256, max_rows)
            try:
                yield shards
            finally:
                shards.flush()

    def ids(self) -> Iterator[str]:
        """Ids of all rows that were written."""
        for path in self._files():
            yield from pq.read_table(path, columns=["id"])["id"].to_pylist()

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows, and write a shard when it is time.

        Parameters
        ----------
        rows
            Of `service.archive.rows.SHARD`.

        Raises
        ------
        OtherRun
            They are of another bundle: a machine of the cluster has a different one at its path.
        """
        if set(rows["model_sha256"].to_pylist()) != {self._about["model_sha256"]}:
            raise OtherRun
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(rows)
        old = time.monotonic() - self._since > _MAX_AGE_S
        full = sum(part.num_rows for part in self._rows) >= self._max_rows
        if old or full or sum(part.nbytes for part in self._rows) >= _MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last shard."""
        if not self._rows:
            return
        schema = SHARD.with_metadata({_METADATA: json.dumps(self._about)})
        table = pa.Table.from_batches(self._rows).cast(schema)
        temporary = self._folder / WORK / "shard"
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / f"rows-{self._next:06d}.parquet")
        self._next += 1
        self._rows = []

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("rows-*.parquet"))
