"""SQL for rewards and the steps of their traces."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Row,
    Text,
    Uuid,
    case,
    column,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session, WeiColumn
from services.rewards.errors import RewardNotFound
from services.rewards.models import reward_steps, rewards


async def insert_rewards(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rewards; a second one for the same source, side and kind is an error of the database."""
    if rows:
        await session.execute(insert(rewards).values([dict(row) for row in rows]))


async def insert_steps(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add steps to the traces of rewards."""
    if rows:
        await session.execute(insert(reward_steps).values([dict(row) for row in rows]))


async def get_reward(session: Session, reward_id: UUID, *, beneficiary_id: UUID | None) -> Row[Any]:
    """A reward, of this beneficiary unless None.

    Raises: RewardNotFound.
    """
    query = select(rewards).where(rewards.c.id == reward_id)
    if beneficiary_id is not None:
        query = query.where(rewards.c.beneficiary_id == beneficiary_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise RewardNotFound
    return row


async def find_reward(session: Session, reward_id: UUID) -> Row[Any] | None:
    """A reward."""
    return (await session.execute(select(rewards).where(rewards.c.id == reward_id))).one_or_none()


async def find_source(session: Session, *, source_kind: str, source_id: UUID) -> UUID | None:
    """The id of a reward that this source has earned already."""
    found: UUID | None = await session.scalar(
        select(rewards.c.id).where(rewards.c.source_kind == source_kind, rewards.c.source_id == source_id).limit(1)
    )
    return found


async def list_rewards(
    session: Session,
    *,
    beneficiary_id: UUID,
    status: str | None,
    transaction_id: UUID | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Row[Any]]:
    """A page of a beneficiary's rewards, newest first."""
    query = select(rewards).where(rewards.c.beneficiary_id == beneficiary_id)
    if status is not None:
        query = query.where(rewards.c.status == status)
    if transaction_id is not None:
        query = query.where(rewards.c.transaction_id == transaction_id)
    if after is not None:
        query = query.where(tuple_(rewards.c.created_at, rewards.c.id) < tuple_(literal(after[0]), literal(after[1])))
    rows = await session.execute(query.order_by(rewards.c.created_at.desc(), rewards.c.id.desc()).limit(limit))
    return list(rows)


async def list_rewards_of(session: Session, transaction_id: UUID) -> list[Row[Any]]:
    """The rewards of a transaction but those of a forged one, in id order."""
    rows = await session.execute(
        select(rewards)
        .where(rewards.c.transaction_id == transaction_id, rewards.c.source_kind != "forged")
        .order_by(rewards.c.id)
    )
    return list(rows)


async def list_by_ids(session: Session, reward_ids: Collection[UUID]) -> list[Row[Any]]:
    """These rewards, in no order."""
    return list(await session.execute(select(rewards).where(rewards.c.id.in_(list(reward_ids)))))


async def lock_rewards(session: Session, reward_ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """These rewards, locked in id order."""
    rows = await session.execute(
        select(rewards).where(rewards.c.id.in_(list(reward_ids))).order_by(rewards.c.id).with_for_update()
    )
    return {row.id: row for row in rows}


async def lock_settlement_rewards(session: Session, settlement_id: UUID) -> list[Row[Any]]:
    """The rewards of a settlement, locked, by number."""
    rows = await session.execute(
        select(rewards).where(rewards.c.settlement_id == settlement_id).order_by(rewards.c.seq).with_for_update()
    )
    return list(rows)


async def list_settlement_rewards(session: Session, settlement_id: UUID) -> list[Row[Any]]:
    """The rewards of a settlement by number."""
    rows = await session.execute(
        select(rewards).where(rewards.c.settlement_id == settlement_id).order_by(rewards.c.seq)
    )
    return list(rows)


async def update_reward(session: Session, reward_id: UUID, **changes: Any) -> None:
    """Change one reward."""
    await session.execute(update(rewards).where(rewards.c.id == reward_id).values(**changes))


async def update_rewards(session: Session, reward_ids: Collection[UUID], **changes: Any) -> None:
    """Give several rewards the same values."""
    if reward_ids:
        await session.execute(update(rewards).where(rewards.c.id.in_(list(reward_ids))).values(**changes))


async def number_rewards(session: Session, settlement_id: UUID, numbered: Sequence[tuple[UUID, int, str, int]]) -> None:
    """Put rewards into a settlement: (id, seq, payout address, offset in wei) each."""
    fixed = values(
        column("id", Uuid), column("seq", BigInteger), column("address", Text), column("offset_wei", WeiColumn)
    )
    lines = fixed.data(list(numbered)).alias("lines")
    await session.execute(
        update(rewards)
        .where(rewards.c.id == lines.c.id)
        .values(
            settlement_id=settlement_id,
            seq=lines.c.seq,
            payout_address=lines.c.address,
            offset_wei=lines.c.offset_wei,
        )
    )


async def mark_minted(session: Session, settlement_id: UUID, **where: Any) -> None:
    """The rewards of a settlement are paid, each its amount less its offset; reversed ones stay reversed."""
    await session.execute(
        update(rewards)
        .where(rewards.c.settlement_id == settlement_id)
        .values(
            status=case((rewards.c.status == "reversed", "reversed"), else_="minted"),
            reason=None,
            check_at=None,
            minted_wei=rewards.c.amount_wei - rewards.c.offset_wei,
            **where,
        )
    )


async def list_due(session: Session, now: datetime, limit: int) -> list[UUID]:
    """Held rewards whose time for another look has come."""
    rows = await session.execute(
        select(rewards.c.id).where(rewards.c.check_at <= now).order_by(rewards.c.check_at, rewards.c.id).limit(limit)
    )
    return list(rows.scalars())


async def wake_for_wallet(session: Session, beneficiary_id: UUID, at: datetime) -> None:
    """A payout wallet is set: rewards held for want of one are looked at again at `at`."""
    await session.execute(
        update(rewards)
        .where(
            rewards.c.beneficiary_id == beneficiary_id,
            rewards.c.settlement_id.is_(None),
            rewards.c.status == "held",
            rewards.c.reason == "no_payout_wallet",
            or_(rewards.c.check_at.is_(None), rewards.c.check_at > at),
        )
        .values(check_at=at)
    )


async def wake_below_minimum(session: Session, beneficiary_ids: Collection[UUID], at: datetime) -> None:
    """These members' small rewards together reach the minimum by now."""
    await session.execute(
        update(rewards)
        .where(
            rewards.c.beneficiary_id.in_(list(beneficiary_ids)),
            rewards.c.settlement_id.is_(None),
            rewards.c.status == "held",
            rewards.c.reason == "below_minimum",
        )
        .values(check_at=at)
    )


async def unpaid_totals(session: Session, beneficiary_ids: Collection[UUID]) -> dict[UUID, int]:
    """For each member the wei of rewards that only want to be paid, or to be enough for it."""
    rows = await session.execute(
        select(rewards.c.beneficiary_id, func.sum(rewards.c.amount_wei).label("total"))
        .where(
            rewards.c.beneficiary_id.in_(list(beneficiary_ids)),
            rewards.c.settlement_id.is_(None),
            or_(
                rewards.c.status == "queued",
                (rewards.c.status == "held") & (rewards.c.reason == "below_minimum"),
            ),
        )
        .group_by(rewards.c.beneficiary_id)
    )
    return {row.beneficiary_id: int(row.total) for row in rows}


async def list_payable(session: Session, limit: int) -> list[Row[Any]]:
    """The head of the queue: rewards without a number, first in first out."""
    rows = await session.execute(
        select(rewards)
        .where(rewards.c.status == "queued", rewards.c.settlement_id.is_(None))
        .order_by(rewards.c.queued_at, rewards.c.id)
        .limit(limit)
    )
    return list(rows)


async def oldest_queued(session: Session) -> datetime | None:
    """Since when the head of the queue has been there."""
    found: datetime | None = await session.scalar(
        select(rewards.c.queued_at)
        .where(rewards.c.status == "queued", rewards.c.settlement_id.is_(None))
        .order_by(rewards.c.queued_at, rewards.c.id)
        .limit(1)
    )
    return found


async def list_steps(session: Session, reward_id: UUID) -> list[Row[Any]]:
    """The steps of a reward in the order they were taken."""
    rows = await session.execute(
        select(reward_steps).where(reward_steps.c.reward_id == reward_id).order_by(reward_steps.c.id)
    )
    return list(rows)


async def summarize(session: Session, beneficiary_id: UUID) -> Row[Any]:
    """A beneficiary's sums: accrued_wei, held_wei, queued_wei, minted_wei."""
    status, amount, net = rewards.c.status, rewards.c.amount_wei, rewards.c.amount_wei - rewards.c.offset_wei

    def total(condition: Any, value: Any) -> Any:
        return func.coalesce(func.sum(case((condition, value), else_=0)), 0)

    rows = await session.execute(
        select(
            total(status != "cancelled", amount).label("accrued_wei"),
            total(status == "held", amount).label("held_wei"),
            total(status.in_(("queued", "submitted")), net).label("queued_wei"),
            total(status.in_(("minted", "reversed")), rewards.c.minted_wei).label("minted_wei"),
        ).where(rewards.c.beneficiary_id == beneficiary_id)
    )
    return rows.one()


async def held_by_reason(session: Session, beneficiary_id: UUID) -> dict[str, int]:
    """Reason → wei of a beneficiary's held rewards."""
    rows = await session.execute(
        select(rewards.c.reason, func.sum(rewards.c.amount_wei).label("wei"))
        .where(
            rewards.c.beneficiary_id == beneficiary_id,
            rewards.c.settlement_id.is_(None),
            rewards.c.status == "held",
        )
        .group_by(rewards.c.reason)
    )
    return {row.reason: int(row.wei) for row in rows}
