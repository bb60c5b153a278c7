"""Transactions and the refunds of them. Admins see them all."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Session
from services.jobs.models import refunds, transactions
from services.jobs.repository.parties import Position, Row, insert_row, newest_first, one, seen_by, update_row


def _found(table: sa.Table, row_id: UUID, viewer_id: UUID | None) -> sa.Select[Any]:
    statement = sa.select(table).where(table.c.id == row_id)
    return statement if viewer_id is None else statement.where(seen_by(table, viewer_id))


async def insert_transaction(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new transaction."""
    return await insert_row(session, transactions, values)


async def get_transaction(session: Session, transaction_id: UUID, *, viewer_id: UUID | None) -> Row:
    """The transaction; without a viewer whosever it is. Raises: NotFound."""
    return await one(session, _found(transactions, transaction_id, viewer_id))


async def settled_transaction(session: Session, transaction_id: UUID) -> Row:
    """The transaction, whosever it is, once no refund of it is under way. Raises: NotFound."""
    return await one(session, _found(transactions, transaction_id, None), lock="share")


async def lock_transaction(session: Session, transaction_id: UUID, *, viewer_id: UUID | None) -> Row:
    """The transaction, locked to be changed; without a viewer whosever it is. Raises: NotFound."""
    return await one(session, _found(transactions, transaction_id, viewer_id), lock="update")


async def update_transaction(session: Session, transaction_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a locked transaction; the transaction as it is now."""
    return await update_row(session, transactions, transaction_id, values)


async def list_transactions(session: Session, *, viewer_id: UUID, limit: int, after: Position | None) -> Sequence[Row]:
    """The viewer's transactions, paid and received, newest first."""
    return await newest_first(session, transactions, seen_by(transactions, viewer_id), limit=limit, after=after)


async def insert_refund(session: Session, values: Mapping[str, Any]) -> Row:
    """Insert; the new refund."""
    return await insert_row(session, refunds, values)


async def get_refund(session: Session, refund_id: UUID, *, viewer_id: UUID | None) -> Row:
    """The refund; without a viewer whosever it is. Raises: NotFound."""
    return await one(session, _found(refunds, refund_id, viewer_id))


async def get_refund_of(session: Session, transaction_id: UUID, refund_id: UUID) -> Row:
    """The refund of this transaction, whosever it is. Raises: NotFound."""
    return await one(session, _found(refunds, refund_id, None).where(refunds.c.transaction_id == transaction_id))


async def list_refunds_of(
    session: Session, transaction_id: UUID, *, limit: int, after: Position | None
) -> Sequence[Row]:
    """A transaction's refunds, newest first."""
    return await newest_first(session, refunds, refunds.c.transaction_id == transaction_id, limit=limit, after=after)
