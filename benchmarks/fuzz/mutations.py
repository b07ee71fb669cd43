"""Ways to damage bytes and JSON, all of them decided by a random generator."""

import copy
import json
import zlib
from typing import Any

import numpy as np

_BYTES = np.array([0, 1, 2, 7, 8, 0x10, 0x20, 0x7F, 0x80, 0xDA, 0xE0, 0xFE, 0xFF], np.uint8)

_ODD: tuple[Any, ...] = (
    *(None, True, "", [], {}, 0, -1, 2**31, 2**63, 10**40, 1e308, -0.5, float("nan")),
    *(float("inf"), "x" * 5000, "\x00\ud800", "../../etc/passwd", [[]] * 100, {"a": {"b": {}}}),
)
"""Values that no field expects."""

_PNG = b"\x89PNG\r\n\x1a\n"


def mutate(data: bytes, rng: np.random.Generator, *, head: int = 3000) -> bytes:
    """Change a few bytes, most of them in the header; cut or splice now and then.

    Parameters
    ----------
    data
        At least one byte.
    head
        How many bytes count as the header.
    """
    mutated = np.frombuffer(data, np.uint8).copy()
    head = min(len(mutated), head)
    for _ in range(int(rng.geometric(0.3))):
        end = head if rng.random() < 0.7 else len(mutated)
        place = int(rng.integers(0, end))
        mutated[place] = rng.choice(_BYTES) if rng.random() < 0.5 else rng.integers(0, 256)
    kind = rng.random()
    if kind < 0.1:
        mutated = mutated[: int(rng.integers(0, len(mutated)))]
    elif kind < 0.2:
        start, stop = sorted(rng.integers(0, head, 2).tolist())
        mutated = np.concatenate([mutated[:start], mutated[stop:]])
    elif kind < 0.25:
        start, stop = sorted(rng.integers(0, head, 2).tolist())
        mutated = np.concatenate([mutated[:stop], mutated[start:]])
    return mutated.tobytes()


def mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Put odd values in place of a few values of a JSON object; take fields out, or add some."""
    document = json.loads(data)
    for _ in range(int(rng.geometric(0.5))):
        places = list(_places(document))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        kind = rng.random()
        if kind < 0.2:
            del holder[key]
        elif kind < 0.3 and isinstance(holder, dict):
            holder[f"{key}_too"] = copy.deepcopy(holder[key])
        elif kind < 0.4 and isinstance(holder[key], int | float):
            holder[key] = holder[key] * float(rng.choice([-1, 0.5, 2, 1000])) + 1
        else:
            holder[key] = copy.deepcopy(_ODD[int(rng.integers(len(_ODD)))])
    return json.dumps(document).encode()


def repair_png(data: bytes) -> bytes:
    """Make the checksums of all chunks right, so that a decoder looks at what was changed."""
    parts, place = [data[: len(_PNG)]], len(_PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        content = data[place + 4 : place + 8 + length]
        parts += [data[place : place + 4], content, zlib.crc32(content).to_bytes(4, "big")]
        place += 12 + length
    return b"".join(parts)


def _places(value: Any) -> "list[tuple[Any, Any]]":
    """Every value of a JSON document, as what holds it and the key or index it is held by."""
    items = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        items = list(enumerate(value[:20]))
    found = [(value, key) for key, _ in items]
    for _, each in items:
        found += _places(each)
    return found
