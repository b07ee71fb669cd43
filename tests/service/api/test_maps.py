from uuid import UUID

import pytest

from service.api.maps import MapCache
from service.errors import MapNotFound, MapTooLarge
from service.stores import LocalStore

A, B = UUID(int=1), UUID(int=2)


def test_the_oldest_gives_way() -> None:
    maps = MapCache(LocalStore(10, 60, len))
    maps.put(A, b"123456")
    assert maps.get(A) == b"123456"
    maps.put(B, b"123456")
    with pytest.raises(MapNotFound):
        maps.get(A)
    assert maps.get(B) == b"123456"


def test_a_map_larger_than_the_cache() -> None:
    with pytest.raises(MapTooLarge):
        MapCache(LocalStore(2, 60, len)).put(A, b"123")
