"""Challenges, linked wallets and payout wallets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.identity.domain.wallets import Challenge, message_hash
from services.identity.models import payout_wallets, wallet_challenges, wallets

_CHALLENGE = tuple(column for column in wallet_challenges.c if column.name != "message_hash")


async def insert_challenge(session: Session, challenge: Challenge) -> None:
    """Store a challenge that is about to be given out."""
    await session.execute(
        insert(wallet_challenges).values(
            id=challenge.id,
            message_hash=message_hash(challenge.message),
            message=challenge.message,
            purpose=challenge.purpose,
            address=challenge.address,
            member_id=challenge.member_id,
            created_at=challenge.created_at,
            expires_at=challenge.expires_at,
        )
    )


async def find_challenge(session: Session, challenge_id: UUID) -> Challenge | None:
    """The challenge with this id."""
    return await _challenge(session, select(*_CHALLENGE).where(wallet_challenges.c.id == challenge_id))


async def find_challenge_of(session: Session, message: str) -> Challenge | None:
    """The challenge with exactly this text."""
    found = wallet_challenges.c.message_hash == message_hash(message)
    return await _challenge(session, select(*_CHALLENGE).where(found))


async def _challenge(session: Session, statement: Select[Any]) -> Challenge | None:
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else Challenge(**row._mapping)


async def consume_challenge(session: Session, challenge_id: UUID, *, consumed_at: datetime) -> bool:
    """Use the challenge up; False when another unit of work did so first."""
    statement = (
        update(wallet_challenges)
        .where(wallet_challenges.c.id == challenge_id, wallet_challenges.c.consumed_at.is_(None))
        .values(consumed_at=consumed_at)
        .returning(wallet_challenges.c.id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def delete_challenges_expired_before(session: Session, moment: datetime, *, limit: int) -> int:
    """Forget challenges that can no longer be answered; how many."""
    old = (
        select(wallet_challenges.c.id)
        .where(wallet_challenges.c.expires_at < moment)
        .order_by(wallet_challenges.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(delete(wallet_challenges).where(wallet_challenges.c.id.in_(old)))).rowcount


async def insert_wallet(
    session: Session, *, wallet_id: UUID, member_id: UUID, address: str, created_at: datetime
) -> Row[Any] | None:
    """Link the address; None when somebody has it already."""
    statement = (
        insert(wallets)
        .values(id=wallet_id, member_id=member_id, address=address, created_at=created_at)
        .on_conflict_do_nothing(index_elements=[wallets.c.address])
        .returning(*wallets.c)
    )
    return (await session.execute(statement)).one_or_none()


async def find_wallet(session: Session, address: str) -> Row[Any] | None:
    """The linked wallet with this EIP-55 address."""
    return (await session.execute(select(wallets).where(wallets.c.address == address))).one_or_none()


async def find_wallet_of(session: Session, *, member_id: UUID, wallet_id: UUID) -> Row[Any] | None:
    """The member's wallet with this id."""
    mine = (wallets.c.id == wallet_id) & (wallets.c.member_id == member_id)
    return (await session.execute(select(wallets).where(mine))).one_or_none()


async def list_wallets(
    session: Session, *, member_id: UUID, after: UUID | None = None, limit: int | None = None
) -> Sequence[Row[Any]]:
    """The member's wallets, oldest first, after the wallet `after`."""
    statement = select(wallets).where(wallets.c.member_id == member_id).order_by(wallets.c.id).limit(limit)
    if after is not None:
        statement = statement.where(wallets.c.id > after)
    return (await session.execute(statement)).all()


def _newest_choice(member_id: UUID) -> Select[Any]:
    mine = (payout_wallets.c.member_id == member_id) & payout_wallets.c.withdrawn_at.is_(None)
    return select(payout_wallets).where(mine).order_by(payout_wallets.c.id.desc()).limit(1)


async def find_payout(session: Session, member_id: UUID, *, now: datetime) -> Row[Any] | None:
    """The choice of payout wallet that is in effect."""
    statement = _newest_choice(member_id).where(payout_wallets.c.effective_at <= now)
    return (await session.execute(statement)).one_or_none()


async def find_pending_payout(session: Session, member_id: UUID, *, now: datetime) -> Row[Any] | None:
    """The choice that waits to take effect."""
    statement = _newest_choice(member_id).where(payout_wallets.c.effective_at > now)
    return (await session.execute(statement)).one_or_none()


async def withdraw_pending_payouts(session: Session, member_id: UUID, *, now: datetime) -> None:
    """Take back the choices that have not taken effect."""
    await session.execute(
        update(payout_wallets)
        .where(
            payout_wallets.c.member_id == member_id,
            payout_wallets.c.effective_at > now,
            payout_wallets.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now)
    )


async def insert_payout(
    session: Session, *, choice_id: UUID, member_id: UUID, address: str, effective_at: datetime, created_at: datetime
) -> Row[Any]:
    """Store a choice of payout wallet."""
    statement = (
        insert(payout_wallets)
        .values(
            choice_id=choice_id,
            member_id=member_id,
            address=address,
            effective_at=effective_at,
            created_at=created_at,
        )
        .returning(*payout_wallets.c)
    )
    return (await session.execute(statement)).one()
