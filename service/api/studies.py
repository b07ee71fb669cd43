"""Studies that lie in a PACS."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from service.api.dependencies import PipelineDep
from service.http.disconnect import while_connected
from service.http.documented import problems
from service.pacs.jobs import Job, StudyJobs

router = APIRouter(tags=["pacs"])


async def get_jobs(request: Request) -> StudyJobs:
    """The jobs of the app."""
    jobs: StudyJobs = request.app.state.studies
    return jobs


JobsDep = Annotated[StudyJobs, Depends(get_jobs)]


@router.post(
    "/v1/studies/{study_instance_uid}/analyze",
    status_code=202,
    responses={
        200: {"model": Job, "description": "The job ended."},
        **problems(401, 404, 422, 503),
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
    await request.body()  # there is none; but until it is read, nobody learns that the client left
    job = jobs.start(study_instance_uid, pipeline)
    if not wait:
        return job
    response.status_code = 200
    return await while_connected(request, jobs.wait(job.id))


@router.get("/v1/jobs/{job_id}", responses=problems(401, 404, 422))
async def read_job(jobs: JobsDep, job_id: Annotated[UUID, Path(description="Its id.")]) -> Job:
    """How the analysis of a study stands; kept for an hour after its end."""
    return jobs.get(job_id)
