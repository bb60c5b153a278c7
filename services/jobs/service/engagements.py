"""Engagements: client and Talent work together until one of them ends it."""

from collections.abc import Sequence
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.outbox import publish
from events.jobs import EngagementEnded
from services.jobs.domain.actors import Actor
from services.jobs.domain.states import ENGAGEMENT_MOVES, move
from services.jobs.repository import engagements as repository
from services.jobs.repository.parties import Position, Row


async def get_engagement(session: Session, *, viewer_id: UUID, engagement_id: UUID) -> Row:
    """The engagement, for its two parties.

    Raises: NotFound.
    """
    return await repository.get_engagement(session, engagement_id, viewer_id=viewer_id)


async def list_my_engagements(
    session: Session, *, viewer_id: UUID, status: str | None, limit: int, after: Position | None
) -> Sequence[Row]:
    """The viewer's engagements on either side, newest first."""
    return await repository.list_engagements(session, viewer_id=viewer_id, status=status, limit=limit, after=after)


async def end_engagement(session: Session, *, actor: Actor, engagement_id: UUID) -> Row:
    """The engagement, ended by either party: no new invoices, those submitted can still be paid.

    Raises: NotFound, InvalidState.
    """
    engagement = await repository.lock_engagement(session, engagement_id, viewer_id=actor.member_id)
    status = move(ENGAGEMENT_MOVES, "end", engagement.status, noun="engagement")
    now = utc_now()
    engagement = await repository.update_engagement(session, engagement.id, {"status": status, "ended_at": now})
    event = EngagementEnded(
        engagement_id=engagement.id,
        job_id=engagement.job_id,
        client_id=engagement.client_id,
        talent_id=engagement.talent_id,
        ended_at=now,
    )
    publish(session, event)
    return engagement
