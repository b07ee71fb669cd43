"""Anomaly maps behind a URL: kept in memory for a while, never on disk."""

from uuid import UUID

from cachetools import TTLCache

from service.errors import MapNotFound, MapTooLarge


class MapCache:
    """PNGs by the id of their result; the oldest give way when memory runs out.

    Used from the event loop alone, so no lock is needed.

    Parameters
    ----------
    max_bytes
        Memory for all of them, in bytes.
    ttl_s
        How long one is kept, in seconds.
    """

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._pngs: TTLCache[UUID, bytes] = TTLCache(max_bytes, ttl_s, getsizeof=len)

    def put(self, result_id: UUID, png: bytes) -> None:
        """Keep a map.

        Raises
        ------
        MapTooLarge
            It is larger than the whole cache.
        """
        try:
            self._pngs[result_id] = png
        except ValueError:
            raise MapTooLarge from None

    def get(self, result_id: UUID) -> bytes:
        """Look up a map.

        Raises
        ------
        MapNotFound
            It is not there, or not any more.
        """
        try:
            return self._pngs[result_id]
        except KeyError:
            raise MapNotFound from None
