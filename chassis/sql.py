"""The driver's connection under a unit of work, for statements on a hot path."""

from typing import Any

from sqlalchemy import text

from chassis.db import Session

_FIRST = text("SELECT 1")


async def driver_of(session: Session) -> Any:
    """The asyncpg connection of `session`, inside its transaction.

    SQLAlchemy begins the transaction with its own first statement only: without one, what the driver runs would
    stand outside, and outlive a rollback.
    """
    driver = session.buffered.get("driver")
    if driver is not None:
        return driver
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if not driver.is_in_transaction():  # type: ignore[union-attr]
        await connection.execute(_FIRST)
    session.buffered["driver"] = driver
    return driver
