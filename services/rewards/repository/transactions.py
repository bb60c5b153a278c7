"""SQL for recorded transactions and refunds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.rewards.models import parameter_versions, parties, refunds, rewards, transactions


async def insert_transaction(session: Session, **values: Any) -> bool:
    """Record a transaction; False when one with this id is recorded already."""
    result = await session.execute(
        insert(transactions)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[transactions.c.transaction_id])
        .returning(transactions.c.transaction_id)
    )
    return result.one_or_none() is not None


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
    return await _take_due(session, transactions, now, retry, limit)


async def take_unverified_refunds(session: Session, now: datetime, retry: timedelta, limit: int) -> list[Row[Any]]:
    """Refunds to ask the jobs service about now; they come up again after `retry` if nothing came of it."""
    return await _take_due(session, refunds, now, retry, limit)


async def _take_due(session: Session, table: Table, now: datetime, retry: timedelta, limit: int) -> list[Row[Any]]:
    keys = list(table.primary_key)
    due = (
        select(*keys)
        .where(table.c.verify_at <= now)
        .order_by(table.c.verify_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows = await session.execute(
        update(table).where(tuple_(*keys).in_(select(*due.c))).values(verify_at=now + retry).returning(table)
    )
    return list(rows)


async def raise_refunded(session: Session, transaction_id: UUID, *, cents: int, fee_cents: int) -> None:
    """Let a recorded transaction have at least this much given back: totals only grow, so the highest is the newest."""
    columns = transactions.c
    await session.execute(
        update(transactions)
        .where(columns.transaction_id == transaction_id)
        .values(
            refunded_cents=func.greatest(columns.refunded_cents, cents),
            fee_refunded_cents=func.greatest(columns.fee_refunded_cents, fee_cents),
        )
    )


async def insert_refund(session: Session, **values: Any) -> bool:
    """Record a refund; False when this transaction has one of this id already."""
    result = await session.execute(
        insert(refunds).values(**values).on_conflict_do_nothing().returning(refunds.c.refund_id)
    )
    return result.one_or_none() is not None


async def lock_refund(session: Session, transaction_id: UUID, refund_id: UUID) -> Row[Any] | None:
    """A recorded refund, locked."""
    rows = await session.execute(select(refunds).where(_is_refund(transaction_id, refund_id)).with_for_update())
    return rows.one_or_none()


async def update_refund(session: Session, transaction_id: UUID, refund_id: UUID, /, **values: Any) -> None:
    """Change a recorded refund."""
    await session.execute(update(refunds).where(_is_refund(transaction_id, refund_id)).values(**values))


def _is_refund(transaction_id: UUID, refund_id: UUID) -> ColumnElement[bool]:
    return and_(refunds.c.transaction_id == transaction_id, refunds.c.refund_id == refund_id)


async def list_traceparents(session: Session, reward_ids: Sequence[UUID]) -> list[str]:
    """The trace contexts of the transactions these rewards come from, in the rewards' order, each trace once."""
    told = transactions.c.event["traceparent"].astext
    source = rewards.join(transactions, transactions.c.transaction_id == rewards.c.transaction_id)
    query = select(rewards.c.id, told.label("told")).select_from(source).where(rewards.c.id.in_(reward_ids))
    known = {row.id: row.told for row in await session.execute(query) if row.told}
    traces: dict[str, str] = {}
    for told_id in reward_ids:
        if told_id in known:
            traces.setdefault(known[told_id][:36], known[told_id])
    return list(traces.values())
