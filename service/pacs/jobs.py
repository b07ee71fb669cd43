"""Studies of the PACS that are analysed on request: jobs that are polled or waited for."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4

from cachetools import TTLCache
from pydantic import BaseModel, Field, ValidationError

from service.errors import InternalError, JobNotFound, PacsNotConfigured, QueueFull
from service.scoring.pipeline import Pipeline
from service.settings import Settings, describe_settings_error
from wscxr.errors import ConfigError, WscxrError

if TYPE_CHECKING:
    from service.pacs.commands import Done
    from service.pacs.settings import PacsSettings

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_KEPT, _KEPT_S = 1000, 3600


class JobInstance(BaseModel):
    """One instance of the study."""

    sop_instance_uid: str = Field(description="SOP Instance UID (0008,0018).")
    outcome: Literal["stored", "present", "own", "skipped", "gone", "failed"] = Field(
        description="stored, or present already: its results are in the PACS; own: it is a result."
    )
    code: str | None = Field(description="Why it was skipped or failed.")


class Job(BaseModel):
    """The analysis of one study."""

    id: UUID
    status: Literal["running", "done", "failed"] = Field(
        description="failed: not even tried, or an instance failed."
    )
    code: str | None = Field(default=None, description="Why the whole study failed.")
    instances: list[JobInstance] = Field(default=[], description="Empty until the job ended.")


class StudyJobs:
    """Runs jobs and remembers how they ended, for an hour.

    Parameters
    ----------
    settings
        Settings of the service; those of the PACS are ``WSCXR_PACS_...`` variables.

    Raises
    ------
    ConfigError
        The settings of the PACS cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._names = settings.dicom_results
        self._pacs = _pacs_settings()
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._ended: TTLCache[UUID, Job] = TTLCache(_KEPT, _KEPT_S)

    def start(self, study: str, pipeline: Pipeline) -> Job:
        """Start to analyse a study.

        Raises
        ------
        PacsNotConfigured
            There is no PACS.
        QueueFull
            Too many jobs are under way.
        """
        if self._pacs is None:
            raise PacsNotConfigured
        if len(self._running) >= _AT_ONCE:
            raise QueueFull
        job = uuid4()
        self._running[job] = asyncio.create_task(self._run(job, self._pacs, study, pipeline))
        return self.get(job)

    def get(self, job: UUID) -> Job:
        """How a job stands.

        Raises
        ------
        JobNotFound
            There is none of that id.
        """
        if job in self._running:
            return Job(id=job, status="running")
        ended: Job | None = self._ended.get(job)
        if ended is None:
            raise JobNotFound
        return ended

    async def wait(self, job: UUID) -> Job:
        """How a job ended; it goes on when this is cancelled."""
        if (task := self._running.get(job)) is not None:
            await asyncio.wait({task})
        return self.get(job)

    async def close(self) -> None:
        """Stop all jobs; what they would have done can be asked for again."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: UUID, pacs: "PacsSettings", study: str, pipeline: Pipeline) -> None:
        # Not above: a service without a PACS needs none of the extra [dicom].
        from service.pacs.commands import analyse_with
        from service.pacs.local import PipelineAnalyser

        try:
            done = await analyse_with(pacs, PipelineAnalyser(pipeline, self._names), study)
            self._ended[job] = _ended(job, done)
        except WscxrError as error:
            self._ended[job] = Job(id=job, status="failed", code=error.code)
        except Exception:
            logger.exception("job failed", extra={"job": str(job)})
            self._ended[job] = Job(id=job, status="failed", code=InternalError.code)
        finally:
            del self._running[job]


def _ended(job: UUID, done: "list[Done]") -> Job:
    instances = [
        JobInstance(
            sop_instance_uid=item.instance.sop,
            outcome=item.outcome.ending.value,
            code=item.outcome.code,
        )
        for item in done
    ]
    failed = any(instance.outcome == "failed" for instance in instances)
    return Job(id=job, status="failed" if failed else "done", instances=instances)


def _pacs_settings() -> "PacsSettings | None":
    if not os.environ.get("WSCXR_PACS_URL"):
        return None
    from service.pacs.settings import PacsSettings

    try:
        return PacsSettings()
    except ValidationError as error:
        raise ConfigError(f"PACS: {describe_settings_error(error)}") from None
