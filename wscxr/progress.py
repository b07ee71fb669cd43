"""Progress of long work, for whatever shows it."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and shows how many have gone by."""

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterable[T]:
        """Iterate over `items`, `total` of them."""
        ...


def untracked(items: Iterable[T], description: str, total: int) -> Iterable[T]:  # noqa: ARG001
    """Show nothing."""
    return items
