"""``?model=auto``: the service chooses a bundle by the radiograph."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from service.errors import ModelRequired
from service.records.record import Origin
from service.scoring.analysis import Analysis, ModelChoice, Render, render_nothing
from service.scoring.pipeline import Pipeline
from service.scoring.workers import Workers
from wscxr.anatomy import ModelInput
from wscxr.imaging import Assumed, ImageLimits, Radiograph, looks_like_dicom

AUTO = "auto"
"""In place of a model's name; no bundle may have it."""

T = TypeVar("T")


class AutoPipeline:
    """Takes each image through the bundle that it belongs to; otherwise as `Pipeline`.

    Where a DICOM header has the patient's age, and bundles declare the ages they are for, only
    those that hold it are candidates; a bundle that declares none is one where no other holds it.
    Among several candidates, the image is scored by each, and the one with the lowest OOD score
    answers: to that bundle's training images it is the least unlike.

    Parameters
    ----------
    pipelines
        Of the loaded bundles, by name.
    workers
        Threads that parse.
    limits
        Bounds on a file.
    """

    def __init__(
        self, pipelines: Mapping[str, Pipeline], workers: Workers, limits: ImageLimits
    ) -> None:
        self._pipelines = pipelines
        self._workers = workers
        self._limits = limits

    async def analyse(
        self,
        data: bytes,
        render: Render[T],
        assume: Assumed | None = None,
        *,
        origin: Origin | None,
        result_id: UUID | None = None,
    ) -> Analysis[T]:
        """Choose, and score one file; see `Pipeline.analyse`.

        Raises
        ------
        ModelRequired
            Nothing tells the bundles apart: neither an age nor OOD scores.
        """
        pipeline, choice = await self._choose(data, assume)
        result, rendered = await pipeline.analyse(
            data, render, assume, origin=origin, result_id=result_id
        )
        return Analysis(result.model_copy(update={"model_choice": choice}), rendered)

    async def analyse_many(
        self,
        files: Sequence[bytes],
        render: Render[T],
        assume: Assumed | None = None,
        *,
        origin: Origin | None,
    ) -> list[Analysis[T] | BaseException]:
        """Choose for each file, and score it; see `Pipeline.analyse_many`.

        A file for which there is no place fails alone.
        """
        work = [self.analyse(data, render, assume, origin=origin) for data in files]
        return await asyncio.gather(*work, return_exceptions=True)

    async def read(
        self,
        data: bytes,
        render: Callable[[Radiograph, ModelInput], T],
        assume: Assumed | None = None,
    ) -> T:
        """Choose, and decode one file for that bundle; see `Pipeline.read`."""
        pipeline, _ = await self._choose(data, assume)
        return await pipeline.read(data, render, assume)

    async def _choose(self, data: bytes, assume: Assumed | None) -> tuple[Pipeline, ModelChoice]:
        age = await self._workers.run(lambda: _age(data, self._limits))
        candidates, reason = self._for_age(age)
        if len(candidates) == 1:
            by = "only" if len(self._pipelines) == 1 else "age"
            return candidates[0], ModelChoice.model_validate({"by": by, "reason": reason})
        # Only the answer is recorded.
        work = [
            pipeline.analyse(data, render_nothing, assume, origin=None) for pipeline in candidates
        ]
        scored = [analysis.result for analysis in await asyncio.gather(*work)]
        known = {
            place: result.ood_score
            for place, result in enumerate(scored)
            if result.ood_score is not None
        }
        if not known:
            raise ModelRequired
        best = min(known, key=lambda place: known[place])
        listed = ", ".join(f"{scored[place].model.name} {known[place]:.2f}" for place in known)
        return candidates[best], ModelChoice(
            by="ood_score", reason=f"{reason}; lowest OOD score of {listed}"
        )

    def _for_age(self, age: float | None) -> tuple[list[Pipeline], str]:
        """The bundles that may be right for an age, and why."""
        every = [self._pipelines[name] for name in sorted(self._pipelines)]
        if len(every) == 1:
            return every, "it is the only model"
        if age is None:
            return every, "the image does not say how old the patient is"
        years = f"the patient's age is {int(age)}"
        holding = [
            one for one in every if (own := one.bundle.manifest.population) and own.holds(age)
        ]
        if len(holding) == 1:
            return holding, f"{years}, and it is for {holding[0].bundle.manifest.population}"
        if holding:
            return holding, f"{years}, which several models are for"
        undeclared = [one for one in every if one.bundle.manifest.population is None]
        return undeclared or every, f"{years}, which no model declares to be for"


def _age(data: bytes, limits: ImageLimits) -> float | None:
    if not looks_like_dicom(data):
        return None
    try:
        from wscxr.imaging.dicom.age import read_age
    except ModuleNotFoundError:
        # Without the extra [dicom] no model reads the file, and that is what its error says.
        return None
    return read_age(data, limits)
