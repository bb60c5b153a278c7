"""Engagements."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.jobs.models import engagements
from services.jobs.repository.parties import (
    Position,
    Row,
    insert_row,
    newest_first,
    one_of_party,
    seen_by,
    update_row,
)


async def insert_engagement(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new engagement."""
    return await insert_row(session, engagements, values)


async def get_engagement(session: Session, engagement_id: UUID, *, viewer_id: UUID) -> Row:
    """The engagement. Raises: NotFound."""
    return await one_of_party(session, engagements, engagement_id, viewer_id)


async def hold_engagement(session: Session, engagement_id: UUID, *, viewer_id: UUID) -> Row:
    """The engagement, its state held as it is until the commit. Raises: NotFound."""
    return await one_of_party(session, engagements, engagement_id, viewer_id, lock="share")


async def lock_engagement(session: Session, engagement_id: UUID, *, viewer_id: UUID) -> Row:
    """The engagement, locked to be changed. Raises: NotFound."""
    return await one_of_party(session, engagements, engagement_id, viewer_id, lock="update")


async def update_engagement(session: Session, engagement_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked engagement; the engagement as it is now."""
    return await update_row(session, engagements, engagement_id, values)


async def list_engagements(
    session: Session, *, viewer_id: UUID, status: str | None, limit: int, after: Position | None
) -> Sequence[Row]:
    """The viewer's engagements, on either side, in every state or in one."""
    conditions = [seen_by(engagements, viewer_id)]
    if status is not None:
        conditions.append(engagements.c.status == status)
    return await newest_first(session, engagements, *conditions, limit=limit, after=after)
