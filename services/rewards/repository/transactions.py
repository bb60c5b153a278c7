"""SQL for recorded transactions and refunds."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.rewards.models import parameter_versions, parties, refunds, transactions


async def insert_transaction(session: Session, **values: Any) -> bool:
    """Record a transaction; False when one with this id is recorded already."""
    result = await session.execute(
        insert(transactions)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[transactions.c.transaction_id])
        .returning(transactions.c.transaction_id)
    )
    return result.one_or_none() is not None


async def find_transaction(session: Session, transaction_id: UUID) -> Row[Any] | None:
    """A recorded transaction."""
    rows = await session.execute(select(transactions).where(transactions.c.transaction_id == transaction_id))
    return rows.one_or_none()


async def lock_transaction(session: Session, transaction_id: UUID) -> Row[Any] | None:
    """A recorded transaction, locked."""
    rows = await session.execute(
        select(transactions).where(transactions.c.transaction_id == transaction_id).with_for_update()
    )
    return rows.one_or_none()


async def update_transaction(session: Session, transaction_id: UUID, **values: Any) -> None:
    """Change a recorded transaction."""
    await session.execute(update(transactions).where(transactions.c.transaction_id == transaction_id).values(**values))


async def list_unaccrued(session: Session, member_id: UUID, limit: int) -> list[Row[Any]]:
    """Transactions of a member that wait, or are held because a party was unknown."""
    rows = await session.execute(
        select(transactions)
        .where(
            or_(transactions.c.client_id == member_id, transactions.c.talent_id == member_id),
            transactions.c.status.in_(("waiting", "held")),
            transactions.c.status != "accrued",
        )
        .order_by(transactions.c.recorded_at)
        .limit(limit)
    )
    return list(rows)


async def list_ready(session: Session, limit: int) -> list[Row[Any]]:
    """Waiting transactions of which everything is known by now, or a party turned out not to exist."""
    client, talent = parties.alias("client"), parties.alias("talent")
    settled = [table.c.is_known | table.c.is_unknown_to_identity for table in (client, talent)]
    known_version = or_(
        transactions.c.parameters_version == 0,
        select(parameter_versions.c.version)
        .where(parameter_versions.c.version == transactions.c.parameters_version)
        .exists(),
    )
    rows = await session.execute(
        select(transactions)
        .join(client, client.c.member_id == transactions.c.client_id)
        .join(talent, talent.c.member_id == transactions.c.talent_id)
        .where(transactions.c.status == "waiting", *settled, known_version)
        .order_by(transactions.c.recorded_at)
        .limit(limit)
    )
    return list(rows)


async def take_unverified(session: Session, now: datetime, retry: timedelta, limit: int) -> list[Row[Any]]:
    """Transactions to ask the jobs service about now; they come up again after `retry` if nothing came of it."""
    due = (
        select(transactions.c.transaction_id)
        .where(transactions.c.verify_at <= now)
        .order_by(transactions.c.verify_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows = await session.execute(
        update(transactions)
        .where(transactions.c.transaction_id.in_(select(due.c.transaction_id)))
        .values(verify_at=now + retry)
        .returning(transactions)
    )
    return list(rows)


async def insert_refund(session: Session, **values: Any) -> bool:
    """Record a refund; False when it is recorded already."""
    result = await session.execute(
        insert(refunds)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[refunds.c.refund_id])
        .returning(refunds.c.refund_id)
    )
    return result.one_or_none() is not None


async def refund_totals(session: Session, transaction_id: UUID) -> tuple[int, int]:
    """(cents, client fee cents) given back so far: totals only grow, so the highest is the newest."""
    rows = await session.execute(
        select(
            func.coalesce(func.max(refunds.c.total_refunded_cents), 0).label("cents"),
            func.coalesce(func.max(refunds.c.total_client_fee_refunded_cents), 0).label("fee_cents"),
        ).where(refunds.c.transaction_id == transaction_id)
    )
    found = rows.one()
    return int(found.cents), int(found.fee_cents)


async def list_refunds(session: Session, transaction_ids: Collection[UUID]) -> list[Row[Any]]:
    """The refunds of these transactions, oldest first."""
    rows = await session.execute(
        select(refunds).where(refunds.c.transaction_id.in_(list(transaction_ids))).order_by(refunds.c.refunded_at)
    )
    return list(rows)
