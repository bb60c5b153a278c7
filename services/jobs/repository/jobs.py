"""Jobs: drafts are their owner's, open ones everybody's, closed ones their owner's and bidders'."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Session
from services.jobs.domain.states import JobStatus
from services.jobs.models import bids, jobs
from services.jobs.repository.parties import Position, Row, insert_row, newest_first, one, update_row


def _visible_to(viewer_id: UUID | None) -> sa.ColumnElement[bool]:
    is_open = jobs.c.status == JobStatus.OPEN
    if viewer_id is None:
        return is_open
    has_bid = sa.exists().where(bids.c.job_id == jobs.c.id, bids.c.talent_id == viewer_id)
    return sa.or_(is_open, jobs.c.client_id == viewer_id, sa.and_(jobs.c.status == JobStatus.CLOSED, has_bid))


async def insert_job(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new job."""
    return await insert_row(session, jobs, values)


async def get_job(session: Session, job_id: UUID, *, viewer_id: UUID | None) -> Row:
    """The job, if it is the viewer's to see (None: anybody's).

    Raises: NotFound.
    """
    return await one(session, sa.select(jobs).where(jobs.c.id == job_id, _visible_to(viewer_id)))


async def lock_job(session: Session, job_id: UUID, *, viewer_id: UUID) -> Row:
    """The job, locked to be changed, if it is the viewer's to see.

    Raises: NotFound.
    """
    return await one(session, sa.select(jobs).where(jobs.c.id == job_id, _visible_to(viewer_id)), lock="update")


async def hold_job(session: Session, job_id: UUID, *, viewer_id: UUID) -> Row:
    """The job, its state held as it is until the commit; everybody's but for drafts.

    A closed job is found too: it was public once, so a late bid may learn that it came late.
    Raises: NotFound.
    """
    published = sa.or_(jobs.c.status != JobStatus.DRAFT, jobs.c.client_id == viewer_id)
    return await one(session, sa.select(jobs).where(jobs.c.id == job_id, published), lock="share")


async def update_job(session: Session, job_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked job and raise its version; the job as it is now."""
    return await update_row(session, jobs, job_id, {**values, "version": jobs.c.version + 1})


async def list_jobs_of(
    session: Session, client_id: UUID, *, status: str | None, limit: int, after: Position | None
) -> Sequence[Row]:
    """A client's own jobs in every state, or in one, newest first."""
    conditions = [jobs.c.client_id == client_id]
    if status is not None:
        conditions.append(jobs.c.status == status)
    return await newest_first(session, jobs, *conditions, limit=limit, after=after)
