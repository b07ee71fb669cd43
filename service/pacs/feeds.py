"""What arrives at an archive: what the watcher asks of a feed."""

from dataclasses import dataclass
from typing import Protocol

from service.pacs.dicomweb import Instance


@dataclass(frozen=True)
class Arrival:
    """Something new in the archive.

    Attributes
    ----------
    key
        The feed's name of the instance; None when only the cursor moves.
    seq
        Place in the archive's own count, where it has one.
    """

    key: str | None
    seq: int = 0


@dataclass(frozen=True)
class Coverage:
    """What of an archive a feed covers that has to look for what is new.

    Attributes
    ----------
    left_out
        How many studies were there before the feed and are left out.
    seen_at
        When the last pass through all studies ended, in seconds since 1970; None before the first.
    """

    left_out: int
    seen_at: float | None


class Feed(Protocol):
    """A source of arrivals.

    Raises
    ------
    ServerUnavailable, ServerFault
        The archive does not answer, or its answer makes no sense.
    """

    async def arrivals(self) -> list[Arrival]:
        """List what arrived since the last call; empty when there is nothing new.

        After a restart the list begins behind the last arrival that was finished.
        """
        ...

    async def locate(self, key: str) -> Instance:
        """Find the instance behind a key.

        Raises
        ------
        InstanceGone
            There is none any more.
        """
        ...

    def finished(self, arrival: Arrival) -> None:
        """Record that an arrival is done with; called in the order of arrival."""
        ...

    @property
    def backlog(self) -> int:
        """How much has arrived and is not finished."""
        ...

    @property
    def coverage(self) -> Coverage | None:
        """What the feed covers; None where the archive itself says what arrives."""
        ...
