"""Endpoints of jobs."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response

from chassis.auth import MaybeCallerDep
from chassis.errors import Unauthorized
from chassis.web import Page, Paging, SessionDep, check_if_match, created, etag_of, new_router, problems
from services.jobs.routes.common import ActorDep, as_page
from services.jobs.routes.search import JobQueryDep, key_of, position_of
from services.jobs.schemas.jobs import JobCreate, JobRead, JobState, JobUpdate
from services.jobs.service import jobs as service

router = new_router("jobs")


def _etag(job: Any) -> str:
    return etag_of("job", job.id, job.version)


def _answer(response: Response, job: Any) -> JobRead:
    response.headers["ETag"] = _etag(job)
    return JobRead.model_validate(job)


@router.post(
    "/v1/jobs",
    operation_id="create_job",
    summary="Post a job, as a draft",
    status_code=201,
    responses=problems(401, 403, 409),
)
async def create_job(body: JobCreate, session: SessionDep, actor: ActorDep, response: Response) -> JobRead:
    """Needs the role client. Only its client sees a draft."""
    job = await service.create_job(session, actor=actor, **body.model_dump(exclude={"currency"}))
    created(response, f"/v1/jobs/{job.id}")
    return _answer(response, job)


@router.get("/v1/jobs", operation_id="list_jobs", summary="Search open jobs, or list mine", responses=problems(401))
async def list_jobs(
    *,
    session: SessionDep,
    caller: MaybeCallerDep,
    paging: Paging,
    query: JobQueryDep,
    mine: Annotated[bool, Query(description="My own jobs in every state, newest first (needs a token)")] = False,
    status: Annotated[JobState | None, Query(description="With `mine`: only those in this state")] = None,
) -> Page[JobRead]:
    """Open jobs, newest first by default. With `mine` the conditions of the search do not apply."""
    if mine:
        if caller is None:
            raise Unauthorized("Send a token to list your own jobs")
        rows = await service.list_my_jobs(
            session, client_id=caller.member_id, status=status, limit=paging.limit + 1, after=paging.after_time_id()
        )
        return as_page(JobRead, rows, paging)
    after = position_of(paging, query.sort)
    rows = await service.search_jobs(session, query=query, limit=paging.limit + 1, after=after)
    return as_page(JobRead, rows, paging, key_of(query.sort))


@router.get("/v1/jobs/{job_id}", operation_id="get_job", summary="Read a job", responses=problems(401, 404))
async def get_job(job_id: UUID, session: SessionDep, caller: MaybeCallerDep, response: Response) -> JobRead:
    """An open job is public; a draft is its client's; a closed one is its client's and bidders'."""
    viewer_id = caller.member_id if caller else None
    return _answer(response, await service.get_job(session, viewer_id=viewer_id, job_id=job_id))


@router.patch(
    "/v1/jobs/{job_id}",
    operation_id="update_job",
    summary="Edit a job",
    responses=problems(401, 403, 404, 409, 412),
)
async def update_job(
    *, job_id: UUID, body: JobUpdate, session: SessionDep, actor: ActorDep, request: Request, response: Response
) -> JobRead:
    """Its client only, until it is closed. Send the `ETag` you read in `If-Match` to not overwrite a newer edit."""
    precondition: Callable[[Any], None] = lambda job: check_if_match(request, _etag(job))  # noqa: E731
    job = await service.edit_job(session, actor=actor, job_id=job_id, changes=body.changes(), precondition=precondition)
    return _answer(response, job)


@router.post(
    "/v1/jobs/{job_id}/publish",
    operation_id="publish_job",
    summary="Open a draft to everybody",
    responses=problems(401, 403, 404, 409),
)
async def publish_job(job_id: UUID, session: SessionDep, actor: ActorDep, response: Response) -> JobRead:
    """Its client only; draft → open."""
    return _answer(response, await service.publish_job(session, actor=actor, job_id=job_id))


@router.post(
    "/v1/jobs/{job_id}/close",
    operation_id="close_job",
    summary="Take no more bids",
    responses=problems(401, 403, 404, 409),
)
async def close_job(job_id: UUID, session: SessionDep, actor: ActorDep, response: Response) -> JobRead:
    """Its client only; open → closed. Offers made before can still be accepted."""
    return _answer(response, await service.close_job(session, actor=actor, job_id=job_id))
