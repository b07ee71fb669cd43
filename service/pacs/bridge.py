"""One instance's way: look at it, pull it, have it scored, push the results, see them there."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from service.pacs.analyser import Analyser
from service.pacs.dicomweb import DicomWeb
from service.pacs.errors import AnalyserFault, InstanceGone, Refused
from service.pacs.instance import Instance
from wscxr.errors import MultiFrameImage, OutOfScope, WrongModality


class Ending(StrEnum):
    """How the work on an instance ended.

    Attributes
    ----------
    STORED
        Its results were stored, and read back.
    PRESENT
        Its results were there already.
    OWN
        It is a result itself.
    SKIPPED
        It is out of scope.
    GONE
        It is not in the archive any more.
    FAILED
        It failed for good, and was set aside.
    """

    STORED = "stored"
    PRESENT = "present"
    OWN = "own"
    SKIPPED = "skipped"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How the work on an instance ended, and the code that says why it was skipped or failed."""

    ending: Ending
    code: str | None = None


class Bridge:
    """Takes instances from the archive to the analyser and back.

    Parameters
    ----------
    archive
        Where instances are, and results go.
    analyser
        Who scores.
    modalities
        Modalities (PS3.3, C.7.3.1.1.1) that are pulled; others are skipped on their header.
    is_own
        Whether a header is that of a result.
    """

    def __init__(
        self,
        archive: DicomWeb,
        analyser: Analyser,
        modalities: Collection[str],
        is_own: Callable[[Dataset], bool],
    ) -> None:
        self._archive = archive
        self._analyser = analyser
        self._modalities = frozenset(modalities)
        self._is_own = is_own

    async def process(self, instance: Instance) -> Outcome:
        """Do all that is to be done for one instance; doing it again changes nothing.

        Raises
        ------
        Refused
            It cannot be scored.
        Unavailable, Faulty
            Not now, or not this time.
        """
        try:
            return await self._process(instance)
        except InstanceGone:
            return Outcome(Ending.GONE)
        except Refused as refusal:
            if refusal.reason not in SCOPE_CODES:
                raise
            return Outcome(Ending.SKIPPED, refusal.reason)

    async def probe(self) -> None:
        """Find out whether archive and analyser work at all.

        Raises
        ------
        Unavailable, Faulty
            One of them does not.
        """
        await self._archive.probe()
        await self._analyser.probe()

    async def _process(self, instance: Instance) -> Outcome:
        header = await self._archive.header(instance)
        if self._is_own(header):
            return Outcome(Ending.OWN)
        if str(header.get("Modality", "")) not in self._modalities:
            return Outcome(Ending.SKIPPED, WrongModality.code)
        data = await self._archive.pull(instance)
        results = _identified(await self._analyser.analyse(data), instance.study)
        missing = {key: file for key, file in results.items() if not await self._archive.has(key)}
        if not missing:
            return Outcome(Ending.PRESENT)
        await self._archive.store(missing)
        return Outcome(Ending.STORED)


def _identified(files: list[bytes], study: str) -> dict[Instance, bytes]:
    try:
        results = {Instance.from_file(file): file for file in files}
    except ValueError:
        raise AnalyserFault from None
    # A result in another patient's study would be worse than none.
    if any(result.study != study for result in results):
        raise AnalyserFault
    return results


def _codes(kind: type[OutOfScope]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


SCOPE_CODES = frozenset({MultiFrameImage.code, *_codes(OutOfScope)})
"""Codes of sound objects that are not to be scored."""
