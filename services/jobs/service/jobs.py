"""Jobs: posted as drafts, published, edited, found, closed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import InvalidState
from chassis.ids import new_id
from chassis.outbox import publish
from events.jobs import JobClosed, JobOpened
from services.jobs.domain.actors import Actor, require_role, require_side
from services.jobs.domain.money import CURRENCY, require_rate_range
from services.jobs.domain.search import JobQuery, JobSort, require_rankable
from services.jobs.domain.states import JOB_MOVES, JobStatus, move
from services.jobs.repository import jobs as repository
from services.jobs.repository import search
from services.jobs.repository.parties import Position, Row


async def create_job(
    session: Session,
    *,
    actor: Actor,
    title: str,
    description: str,
    skills: Sequence[str],
    kind: str,
    rate_min_cents: int,
    rate_max_cents: int,
) -> Row:
    """The new job, a draft that only its client sees.

    Raises: MissingRole, Unprocessable (rates the wrong way round).
    """
    require_role(actor, "client")
    require_rate_range(rate_min_cents, rate_max_cents)
    now = utc_now()
    values = {
        "id": new_id(),
        "created_at": now,
        "updated_at": now,
        "version": 1,
        "client_id": actor.member_id,
        "title": title,
        "description": description,
        "skills": list(skills),
        "kind": kind,
        "rate_min_cents": rate_min_cents,
        "rate_max_cents": rate_max_cents,
        "currency": CURRENCY,
        "status": JobStatus.DRAFT,
    }
    return await repository.insert_job(session, values)


async def get_job(session: Session, *, viewer_id: UUID | None, job_id: UUID) -> Row:
    """The job, if the viewer (None: anybody) may see it.

    Raises: NotFound.
    """
    return await repository.get_job(session, job_id, viewer_id=viewer_id)


async def edit_job(
    session: Session, *, actor: Actor, job_id: UUID, changes: Mapping[str, Any], precondition: Callable[[Row], None]
) -> Row:
    """The job with `changes` applied; searches find an open one by its new words at once.

    Raises: NotFound, Forbidden, InvalidState (closed), Unprocessable (rates), and what `precondition` raises
    for the job as it is now.
    """
    job = await _lock_own(session, actor=actor, job_id=job_id)
    precondition(job)
    if job.status == JobStatus.CLOSED:
        raise InvalidState("A closed job cannot be edited.")
    require_rate_range(
        changes.get("rate_min_cents", job.rate_min_cents), changes.get("rate_max_cents", job.rate_max_cents)
    )
    job = await repository.update_job(session, job.id, {**changes, "updated_at": utc_now()})
    if job.status == JobStatus.OPEN:
        await search.index_job(session, job)
    return job


async def publish_job(session: Session, *, actor: Actor, job_id: UUID) -> Row:
    """The job, open from now on: everybody sees it and Talent may bid.

    Raises: NotFound, Forbidden, InvalidState.
    """
    job = await _lock_own(session, actor=actor, job_id=job_id)
    status = move(JOB_MOVES, "publish", job.status, noun="job")
    now = utc_now()
    job = await repository.update_job(session, job.id, {"status": status, "opened_at": now, "updated_at": now})
    await search.index_job(session, job)
    publish(session, JobOpened(job_id=job.id, client_id=job.client_id, title=job.title, opened_at=now))
    return job


async def close_job(session: Session, *, actor: Actor, job_id: UUID) -> Row:
    """The job, closed: no new bids or offers. Offers made before can still be accepted.

    Raises: NotFound, Forbidden, InvalidState.
    """
    job = await _lock_own(session, actor=actor, job_id=job_id)
    status = move(JOB_MOVES, "close", job.status, noun="job")
    now = utc_now()
    job = await repository.update_job(session, job.id, {"status": status, "closed_at": now, "updated_at": now})
    await search.unindex_job(session, job)
    publish(session, JobClosed(job_id=job.id, client_id=job.client_id, closed_at=now))
    return job


async def list_my_jobs(
    session: Session, *, client_id: UUID, status: str | None, limit: int, after: Position | None
) -> Sequence[Row]:
    """The client's own jobs in every state, or in one, newest first."""
    return await repository.list_jobs_of(session, client_id, status=status, limit=limit, after=after)


async def search_jobs(session: Session, *, query: JobQuery, limit: int, after: tuple[Any, ...] | None) -> Sequence[Row]:
    """Open jobs that fulfil the query, in its order, behind the position `after` of that order.

    Raises: Unprocessable (relevance without words).
    """
    require_rankable(query)
    find = search.rank_jobs if query.sort is JobSort.RELEVANCE else search.search_jobs
    return await find(session, query, limit=limit, after=after)


async def _lock_own(session: Session, *, actor: Actor, job_id: UUID) -> Row:
    job = await repository.lock_job(session, job_id, viewer_id=actor.member_id)
    require_side(actor, job.client_id, side="client")
    return job
