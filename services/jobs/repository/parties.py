"""What all rows with a client and a Talent have in common: only these two see them, newest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Session
from chassis.errors import NotFound

Row = sa.Row[Any]
Position = tuple[datetime, UUID]


def seen_by(table: sa.Table, viewer_id: UUID) -> sa.ColumnElement[bool]:
    """The condition that the viewer is one of the row's two parties."""
    return sa.or_(table.c.client_id == viewer_id, table.c.talent_id == viewer_id)


async def one_of_party(session: Session, table: sa.Table, row_id: UUID, viewer_id: UUID, *, lock: str = "") -> Row:
    """The row, if the viewer is a party; `lock` is "", "share" (its state stays) or "update" (ours to change).

    Raises: NotFound.
    """
    statement = sa.select(table).where(table.c.id == row_id, seen_by(table, viewer_id))
    return await one(session, statement, lock=lock)


async def one(session: Session, statement: sa.Select[Any], *, lock: str = "") -> Row:
    """The statement's only row, locked if wanted.

    Raises: NotFound.
    """
    if lock:
        # updates are FOR NO KEY UPDATE, so that rows which merely refer to this one need not wait
        statement = statement.with_for_update(read=lock == "share", key_share=lock == "update")
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound
    return row


async def insert_row(session: Session, table: sa.Table, values: Mapping[str, Any]) -> Row:
    """Insert; the new row."""
    return (await session.execute(sa.insert(table).values(**values).returning(table))).one()


async def update_row(session: Session, table: sa.Table, row_id: UUID, values: Mapping[str, Any]) -> Row:
    """Change a row that is locked already; the row as it is now."""
    statement = sa.update(table).where(table.c.id == row_id).values(**values).returning(table)
    return (await session.execute(statement)).one()


async def newest_first(
    session: Session, table: sa.Table, *conditions: sa.ColumnElement[bool], limit: int, after: Position | None
) -> Sequence[Row]:
    """Up to `limit` rows that fulfil the conditions, from the newest on, behind the position `after`."""
    order = (table.c.created_at, table.c.id)
    statement = sa.select(table).where(*conditions).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(sa.tuple_(*order) < typed(order, after))
    return (await session.execute(statement)).all()


def typed(columns: Sequence[sa.ColumnElement[Any]], values: Sequence[Any]) -> sa.Tuple:
    """The values as a row to compare these columns with: bound by the columns' types, not by Python's."""
    return sa.tuple_(*(sa.literal(value, column.type) for column, value in zip(columns, values, strict=True)))
