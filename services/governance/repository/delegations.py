"""SQL of relayed delegations."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Session
from services.governance.models import chain, delegations


async def lock_delegator(session: Session, delegator: str) -> None:
    """Let one delegation of a holder be taken at a time."""
    name = sa.func.hashtextextended(f"delegator {delegator}", 0)
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(name)))


async def find_live(session: Session, delegator: str, nonce: int) -> Any | None:
    """The holder's delegation with this nonce that was sent or will be."""
    statement = sa.select(delegations).where(
        delegations.c.delegator == delegator, delegations.c.nonce == nonce, delegations.c.status != "failed"
    )
    return (await session.execute(statement)).one_or_none()


async def insert_delegation(session: Session, values: dict[str, Any]) -> Any:
    """The new row."""
    return (await session.execute(sa.insert(delegations).values(values).returning(delegations))).one()


async def get_delegation(session: Session, delegation_id: UUID) -> Any:
    """The row of an id that was just given out."""
    return (await session.execute(sa.select(delegations).where(delegations.c.id == delegation_id))).one()


async def set_by_intent(session: Session, intent_id: UUID, **values: Any) -> None:
    """Set columns of the delegation that an intent carries."""
    await session.execute(sa.update(delegations).where(delegations.c.intent_id == intent_id).values(**values))


async def set_hash(session: Session, delegation_id: UUID, chain_tx_hash: str) -> None:
    """Keep the hash of the first attempt; a later one does not replace it."""
    await session.execute(
        sa.update(delegations)
        .where(delegations.c.id == delegation_id, delegations.c.chain_tx_hash.is_(None))
        .values(chain_tx_hash=chain_tx_hash)
    )


async def find_first_hash(session: Session, intent_id: UUID) -> str | None:
    """The hash of the first chain tx signed for an intent, None while there is none."""
    attempts = chain.attempts
    statement = sa.select(attempts.c.hash).where(attempts.c.intent_id == intent_id).order_by(attempts.c.position)
    found: str | None = await session.scalar(statement.limit(1))
    return found
