"""What is kept between requests for a while: in this process, or in one that all workers ask.

Nothing is pickled: keys are text and values bytes.
"""

import threading
from collections.abc import Callable, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Protocol

from cachetools import TTLCache

_PUT, _GET, _POP = b"+?-"


class Store(Protocol):
    """Values by key, each for a limited time; the oldest give way when there is no room."""

    def put(self, key: str, value: bytes) -> bool:
        """Keep a value; False where it is larger than the whole store."""

    def get(self, key: str) -> bytes | None:
        """Look up a value; None where there is none, or none any more."""

    def pop(self, key: str) -> None:
        """Forget a value, if there is one."""


Stores = Mapping[str, Store]
"""The stores of an app: ``maps``, ``sessions`` and ``jobs``."""


class LocalStore:
    """A store in this process.

    Parameters
    ----------
    most
        How much there is room for, as `size` counts it.
    ttl_s
        How long a value is kept, in seconds.
    size
        What a value counts; 1 each by default.
    """

    def __init__(self, most: int, ttl_s: float, size: Callable[[bytes], int] | None = None) -> None:
        self._values: TTLCache[str, bytes] = TTLCache(most, ttl_s, getsizeof=size)
        self._lock = threading.Lock()

    def put(self, key: str, value: bytes) -> bool:
        """See `Store.put`."""
        with self._lock:
            try:
                self._values[key] = value
            except ValueError:
                return False
        return True

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        with self._lock:
            value: bytes | None = self._values.get(key)
            return value

    def pop(self, key: str) -> None:
        """See `Store.pop`."""
        with self._lock:
            self._values.pop(key, None)


class StoreServer:
    """Lets the workers of this process use its stores, through a Unix socket.

    Parameters
    ----------
    stores
        By name.
    path
        Of the socket, in a folder that is this user's alone.
    secret
        What workers must know.
    """

    def __init__(self, stores: Stores, path: Path, secret: bytes) -> None:
        self._stores = stores
        self._listener = Listener(str(path), "AF_UNIX", backlog=64, authkey=secret)
        threading.Thread(target=self._accept, name="stores", daemon=True).start()

    def close(self) -> None:
        """Take no more workers."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except AuthenticationError:
                continue  # of whoever does not know the secret
            except (OSError, EOFError):
                return  # closed
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    asked = connection.recv_bytes()
                except (OSError, EOFError):
                    return
                name, key, value = asked[1:].split(b"\0", 2)
                store = self._stores[name.decode()]
                found: bytes | None = None
                if asked[0] == _PUT:
                    found = b"" if store.put(key.decode(), value) else None
                elif asked[0] == _GET:
                    found = store.get(key.decode())
                else:
                    store.pop(key.decode())
                connection.send_bytes(b"0" if found is None else b"1" + found)


class SharedStore:
    """A store that lies in the process above; one request at a time."""

    def __init__(self, name: str, path: Path, secret: bytes) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._connection = Client(str(path), "AF_UNIX", authkey=secret)

    def put(self, key: str, value: bytes) -> bool:
        """See `Store.put`."""
        return self._ask(_PUT, key, value) is not None

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        return self._ask(_GET, key)

    def pop(self, key: str) -> None:
        """See `Store.pop`."""
        self._ask(_POP, key)

    def _ask(self, what: int, key: str, value: bytes = b"") -> bytes | None:
        with self._lock:
            self._connection.send_bytes(
                b"\0".join([bytes([what]) + self._name.encode(), key.encode(), value])
            )
            answer = self._connection.recv_bytes()
        return answer[1:] if answer[:1] == b"1" else None
