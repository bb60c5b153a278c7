"""Bids."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.jobs.models import bids
from services.jobs.repository.parties import Position, Row, newest_first, one_of_party, seen_by, update_row


async def insert_bid(session: Session, values: Mapping[str, Any]) -> Row | None:
    """Insert; the new bid, or None when the Talent has one on this job that was not withdrawn."""
    statement = (
        insert(bids)
        .values(**values)
        .on_conflict_do_nothing(
            index_elements=[bids.c.job_id, bids.c.talent_id], index_where=sa.text("status <> 'withdrawn'")
        )
    )
    return (await session.execute(statement.returning(bids))).one_or_none()


async def get_bid(session: Session, bid_id: UUID, *, viewer_id: UUID) -> Row:
    """The bid. Raises: NotFound."""
    return await one_of_party(session, bids, bid_id, viewer_id)


async def lock_bid(session: Session, bid_id: UUID, *, viewer_id: UUID) -> Row:
    """The bid, locked to be changed. Raises: NotFound."""
    return await one_of_party(session, bids, bid_id, viewer_id, lock="update")


async def update_bid(session: Session, bid_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked bid; the bid as it is now."""
    return await update_row(session, bids, bid_id, values)


async def list_bids_on(
    session: Session, job_id: UUID, *, viewer_id: UUID, limit: int, after: Position | None
) -> Sequence[Row]:
    """The bids on a job that the viewer may see: its client all, a Talent their own."""
    return await newest_first(
        session, bids, bids.c.job_id == job_id, seen_by(bids, viewer_id), limit=limit, after=after
    )


async def list_bids_by(session: Session, talent_id: UUID, *, limit: int, after: Position | None) -> Sequence[Row]:
    """A Talent's own bids, newest first."""
    return await newest_first(session, bids, bids.c.talent_id == talent_id, limit=limit, after=after)
