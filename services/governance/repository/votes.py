"""SQL of ballots."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.governance.models import votes


async def last_nonce(session: Session, proposal_id: UUID, voter: str) -> int:
    """The nonce of the voter's counted ballot, 0 when there is none."""
    statement = sa.select(votes.c.nonce).where(votes.c.proposal_id == proposal_id, votes.c.voter == voter)
    return int(await session.scalar(statement) or 0)


async def upsert_vote(session: Session, values: dict[str, Any]) -> Any | None:
    """Count a ballot in place of the voter's earlier one; None when that has the same nonce or a higher one.

    The row's `is_new` says whether there was none before.
    """
    statement = insert(votes).values(values)
    replaced = {name: statement.excluded[name] for name in ("choice", "reason", "nonce", "signature", "updated_at")}
    statement = statement.on_conflict_do_update(
        index_elements=[votes.c.proposal_id, votes.c.voter],
        set_=replaced,
        where=votes.c.nonce < statement.excluded.nonce,
    )
    is_new = (votes.c.id == values["id"]).label("is_new")
    return (await session.execute(statement.returning(votes, is_new))).one_or_none()


async def list_votes(
    session: Session, *, proposal_id: UUID, limit: int, after_id: UUID | None, voter: str | None
) -> Sequence[Any]:
    """The ballots of a proposal, oldest voter first."""
    statement = sa.select(votes).where(votes.c.proposal_id == proposal_id).order_by(votes.c.id).limit(limit)
    if after_id is not None:
        statement = statement.where(votes.c.id > after_id)
    if voter is not None:
        statement = statement.where(votes.c.voter == voter)
    return (await session.execute(statement)).all()


async def sum_by_choice(session: Session, proposal_id: UUID) -> Sequence[Any]:
    """(choice, weight_wei, ballots) for each choice somebody made."""
    weight = sa.type_coerce(sa.func.sum(votes.c.weight_wei), votes.c.weight_wei.type)
    statement = (
        sa.select(votes.c.choice, weight.label("weight_wei"), sa.func.count().label("ballots"))
        .where(votes.c.proposal_id == proposal_id)
        .group_by(votes.c.choice)
    )
    return (await session.execute(statement)).all()
