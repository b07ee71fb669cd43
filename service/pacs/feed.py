"""What arrives at an archive, whatever way it tells."""

from dataclasses import dataclass
from typing import Protocol

from service.pacs.instance import Instance


@dataclass(frozen=True)
class Arrival:
    """Something new in the archive.

    Attributes
    ----------
    key
        What the feed calls the instance; None when there is nothing to do but to finish.
    seq
        Place in the archive's own count, where it has one.
    """

    key: str | None
    seq: int = 0


class Feed(Protocol):
    """The way an archive tells what arrived.

    Raises
    ------
    Unavailable, Faulty
        The archive does not answer, or its answer makes no sense.
    """

    async def arrivals(self) -> list[Arrival]:
        """What arrived since the last call; nothing when all is told.

        After a restart it goes on behind the last arrival that was finished.
        """
        ...

    async def locate(self, key: str) -> Instance:
        """The instance behind a key.

        Raises
        ------
        InstanceGone
            There is none any more.
        """
        ...

    def finished(self, arrival: Arrival) -> None:
        """Note for good that nothing is left to do; called in the order of arrival."""
        ...

    @property
    def backlog(self) -> int:
        """How much is known to have arrived and is not finished."""
        ...
