"""What is still to be scored, on disk: no run holds its whole archive in memory."""

import hmac
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.archive.rows import ITEMS
from service.archive.sources import Found
from wscxr.errors import ConfigError

_BATCH = 1024
_MIN_KEY_LENGTH = 32


class RowIds:
    """Makes the ids of rows of the names of instances.

    Parameters
    ----------
    key_file
        Text file with a key of at least 32 characters; ids are then HMAC-SHA-256 (RFC 2104) in hex,
        which nobody without the key can compute or look up. None: the names themselves.

    Raises
    ------
    ConfigError
        The key cannot be read, or is too short.
    """

    def __init__(self, key_file: Path | None) -> None:
        self._key = None if key_file is None else _read_key(key_file)

    def __call__(self, name: str) -> str:
        """The id of one instance."""
        if self._key is None:
            return name
        return hmac.new(self._key, name.encode(), "sha256").hexdigest()

    @property
    def mark(self) -> str:
        """What ids of one key have in common, and of no other: kept beside them."""
        return "names" if self._key is None else self("wscxr archive")[:16]


class WorkList:
    """The instances that have no row yet, numbered from 0, in a file.

    Parameters
    ----------
    file
        Where it is kept; an older one is replaced.
    found
        All instances there are.
    done
        Ids that have a row.
    ids
        Makes the ids.

    Attributes
    ----------
    count
        How many there are.
    done
        How many of those found have a row already.
    """

    def __init__(
        self, file: Path, found: Iterable[Found], done: Iterable[str], ids: RowIds
    ) -> None:
        self.count = self.done = 0
        self._file = file
        # 16 bytes of each id, and only while the list is made.
        rows = {_short(name) for name in done}
        listed: set[bytes] = set()
        with pq.ParquetWriter(file, ITEMS) as writer:
            names = iter(found)
            while part := list(islice(names, _BATCH)):
                new = []
                for one in part:
                    short = _short(row_id := ids(one.name))
                    if short in listed:
                        continue  # twice in the manifest, or in two folders
                    listed.add(short)
                    if short in rows:
                        self.done += 1
                        continue
                    new.append({"number": self.count, "id": row_id, "place": one.place})
                    self.count += 1
                writer.write_batch(pa.RecordBatch.from_pylist(new, schema=ITEMS))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Its items, in batches."""
        with pq.ParquetFile(self._file) as file:
            yield from file.iter_batches(_BATCH)


def _short(row_id: str) -> bytes:
    return blake2b(row_id.encode(), digest_size=16).digest()


def _read_key(file: Path) -> bytes:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError("id_key_file cannot be read") from None
    if len(key) < _MIN_KEY_LENGTH:
        raise ConfigError(f"the key in id_key_file is shorter than {_MIN_KEY_LENGTH} characters")
    return key.encode()
