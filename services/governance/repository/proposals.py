"""SQL of proposals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Session
from services.governance.domain.proposals import LIVE
from services.governance.errors import ProposalNotFound
from services.governance.models import proposals


async def database_now(session: Session) -> datetime:
    """The database's clock: one for all replicas."""
    now: datetime = await session.scalar(sa.select(sa.func.clock_timestamp()))
    return now


async def lock_author(session: Session, author_id: UUID) -> None:
    """Let one proposal of an author be made at a time."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"author {author_id}", 0))))


async def count_live_by_author(session: Session, author_id: UUID) -> int:
    """How many of the author's proposals are not counted yet."""
    statement = sa.select(sa.func.count()).where(proposals.c.author_id == author_id, proposals.c.status.in_(LIVE))
    return int(await session.scalar(statement))


async def insert_proposal(session: Session, values: dict[str, Any]) -> Any:
    """The new row."""
    return (await session.execute(sa.insert(proposals).values(values).returning(proposals))).one()


async def get_proposal(session: Session, proposal_id: UUID) -> Any:
    """The row. Raises: ProposalNotFound."""
    row = (await session.execute(sa.select(proposals).where(proposals.c.id == proposal_id))).one_or_none()
    if row is None:
        raise ProposalNotFound
    return row


async def lock_for_ballot(session: Session, proposal_id: UUID) -> Any:
    """The row, kept from being closed until the unit of work ends. Raises: ProposalNotFound."""
    statement = sa.select(proposals).where(proposals.c.id == proposal_id).with_for_update(read=True)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise ProposalNotFound
    return row


async def list_proposals(session: Session, *, limit: int, before_id: UUID | None, status: str | None) -> Sequence[Any]:
    """Newest first, `limit` rows after `before_id`."""
    statement = sa.select(proposals).order_by(proposals.c.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(proposals.c.id < before_id)
    if status in LIVE:
        opened = proposals.c.opens_at <= sa.func.clock_timestamp()
        statement = statement.where(proposals.c.status.in_(LIVE), opened if status == "open" else sa.not_(opened))
    elif status is not None:
        statement = statement.where(proposals.c.status == status)
    return (await session.execute(statement)).all()


async def lock_next_to_open(session: Session) -> Any | None:
    """A pending proposal whose time has come, unless another worker has it."""
    return await _lock_due(session, sa.and_(proposals.c.status == "pending", _is_past(proposals.c.opens_at)))


async def lock_next_to_close(session: Session) -> Any | None:
    """An open proposal whose time is over, unless another worker has it; ballots being recorded end first."""
    return await _lock_due(session, sa.and_(proposals.c.status == "open", _is_past(proposals.c.closes_at)))


async def update_proposal(session: Session, proposal_id: UUID, **values: Any) -> None:
    """Set columns of a locked proposal."""
    await session.execute(sa.update(proposals).where(proposals.c.id == proposal_id).values(**values))


def _is_past(moment: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return moment <= sa.func.clock_timestamp()


async def _lock_due(session: Session, due: sa.ColumnElement[bool]) -> Any | None:
    # One statement finds the row, another locks it, so that a row held by a ballot is waited for, not skipped.
    found = await session.scalar(sa.select(proposals.c.id).where(due).order_by(proposals.c.id).limit(1))
    if found is None:
        return None
    statement = sa.select(proposals).where(proposals.c.id == found, due).with_for_update()
    return (await session.execute(statement)).one_or_none()
