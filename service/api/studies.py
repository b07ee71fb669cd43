"""Studies in a PACS, analysed on request: jobs that are polled or waited for."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from service import errors
from service.api.dependencies import PipelineDep, caller_name, while_connected
from service.errors import (
    KEY_ERRORS,
    InternalError,
    InvalidRequest,
    JobNotFound,
    PacsNotConfigured,
    QueueFull,
)
from service.http.problems import problems
from service.scoring.analyser import PipelineAnalyser
from service.scoring.auto import AutoPipeline
from service.scoring.pipeline import Pipeline
from service.settings import Settings
from service.stores import Store
from wscxr.errors import WscxrError
from wscxr.options import validated

if TYPE_CHECKING:
    from service.pacs.settings import PacsSettings

logger = logging.getLogger(__name__)

router = APIRouter(tags=["pacs"])

_AT_ONCE = 16


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
    """Runs jobs, and remembers for an hour how they ended.

    The settings of the PACS are ``WSCXR_PACS_...`` variables.

    Parameters
    ----------
    store
        Where the jobs are kept.

    Attributes
    ----------
    pacs
        These settings; None where there is no PACS.

    Raises
    ------
    ConfigError
        The settings of the PACS cannot be used.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self.pacs = _pacs_settings()
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._jobs = store

    def start(self, study: str, pipeline: Pipeline | AutoPipeline, caller: str) -> Job:
        """Start the analysis of a study.

        Raises
        ------
        PacsNotConfigured
            There is no PACS.
        QueueFull
            Too many jobs are under way.
        """
        if self.pacs is None:
            raise PacsNotConfigured
        if len(self._running) >= _AT_ONCE:
            raise QueueFull
        job = uuid4()
        analyser = PipelineAnalyser(pipeline, self._settings, caller)
        self._keep(Job(id=job, status="running"))
        self._running[job] = asyncio.create_task(self._run(job, self.pacs, study, analyser))
        return self.get(job)

    def get(self, job: UUID) -> Job:
        """Look up how a job stands.

        Raises
        ------
        JobNotFound
            No job has that id.
        """
        kept = self._jobs.get(str(job))
        if kept is None:
            raise JobNotFound
        return Job.model_validate_json(kept)

    async def wait(self, job: UUID) -> Job:
        """Wait until a job ends; when this is cancelled, the job goes on."""
        if (task := self._running.get(job)) is not None:
            await asyncio.wait({task})
        return self.get(job)

    async def close(self) -> None:
        """Stop all jobs; their studies can be sent for analysis again."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, job: UUID, pacs: "PacsSettings", study: str, analyser: PipelineAnalyser
    ) -> None:
        # Not above: a service without a PACS needs none of the extra [dicom].
        from service.pacs.commands import analyse

        try:
            done = await analyse(pacs, study, analyser)
            instances = [
                JobInstance(
                    sop_instance_uid=item.instance.sop,
                    outcome=item.outcome.ending.value,
                    code=item.outcome.code,
                )
                for item in done
            ]
            failed = any(instance.outcome == "failed" for instance in instances)
            status: Literal["failed", "done"] = "failed" if failed else "done"
            self._keep(Job(id=job, status=status, instances=instances))
        except WscxrError as error:
            self._keep(Job(id=job, status="failed", code=error.code))
        except Exception:
            logger.exception("job failed", extra={"job": str(job)})
            self._keep(Job(id=job, status="failed", code=InternalError.code))
        finally:
            del self._running[job]

    def _keep(self, job: Job) -> None:
        self._jobs.put(str(job.id), job.model_dump_json().encode())


def _pacs_settings() -> "PacsSettings | None":
    if not os.environ.get("WSCXR_PACS_URL"):
        return None
    from service.pacs.settings import PacsSettings

    return validated(PacsSettings, {})


async def get_jobs(request: Request) -> StudyJobs:
    """The jobs of the app."""
    jobs: StudyJobs = request.app.state.jobs
    return jobs


JobsDep = Annotated[StudyJobs, Depends(get_jobs)]


@router.post(
    "/v1/studies/{study_instance_uid}/analyze",
    status_code=202,
    responses={
        200: {"model": Job, "description": "The job ended."},
        **problems(
            *KEY_ERRORS,
            PacsNotConfigured,
            errors.ModelNotFound,
            errors.ModelRequired,
            InvalidRequest,
            errors.NotReady,
            QueueFull,
            errors.ShuttingDown,
        ),
    },
)
async def analyze_study(
    request: Request,
    response: Response,
    jobs: JobsDep,
    pipeline: PipelineDep,
    study_instance_uid: Annotated[
        str,
        Path(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$", description="Study Instance UID."),
    ],
    wait: Annotated[bool, Query(description="Answer when the job has ended.")] = False,
) -> Job:
    """Pull a study from the PACS, score its radiographs, and push the results back.

    Doing it twice stores nothing twice.
    """
    await request.body()  # it is empty, but only with it read does a disconnect show
    job = jobs.start(study_instance_uid, pipeline, caller_name(request))
    if not wait:
        return job
    response.status_code = 200
    return await while_connected(request, jobs.wait(job.id))


@router.get("/v1/jobs/{job_id}", responses=problems(*KEY_ERRORS, JobNotFound, InvalidRequest))
async def read_job(jobs: JobsDep, job_id: Annotated[UUID, Path(description="Its id.")]) -> Job:
    """How the analysis of a study stands; kept for an hour after its end."""
    return jobs.get(job_id)
