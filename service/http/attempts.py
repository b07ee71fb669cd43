"""Guessing keys made slow: how many different wrong keys one address may try."""

import ipaddress
import logging

from cachetools import LRUCache, TTLCache

from service.errors import TooManyWrongKeys

logger = logging.getLogger(__name__)

_ADDRESSES = 4096
"""Addresses that are remembered; more than these guess for the addresses before them."""

_UNKNOWN = "unknown"


class WrongKeys:
    """Counts the different wrong keys of each address.

    The same wrong key again is a client with an old key, and nobody guessing: it does not count,
    so that it locks nobody out who shares its address.

    Parameters
    ----------
    limit
        Most wrong keys of an address in a period; then none of its keys is looked at.
    period_s
        How long a wrong key counts, in seconds.
    """

    def __init__(self, limit: int = 10, period_s: float = 60) -> None:
        self._limit = limit
        self._period_s = period_s
        self._found: LRUCache[str, TTLCache[str, None]] = LRUCache(_ADDRESSES)

    def check(self, address: str) -> None:
        """Make sure that an address may try a key.

        Raises
        ------
        TooManyWrongKeys
            It has tried too many.
        """
        found = self._found.get(_block(address))
        if found is not None and len(found) >= self._limit:
            raise TooManyWrongKeys

    def add(self, address: str, sha256: str) -> None:
        """Count a wrong key, by its hash."""
        block = _block(address)
        found = self._found.get(block)
        if found is None:
            found = self._found[block] = TTLCache(self._limit, self._period_s)
        found.setdefault(sha256)
        if len(found) == self._limit:
            logger.warning("too many wrong keys: address refused", extra={"address": block})


def _block(address: str) -> str:
    """What counts as one address: in IPv6, the 64 bits that a client cannot choose."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return _UNKNOWN
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
