"""SQL for prices: what held from when on, what was observed, and the hours' medians."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert

from chassis.db import Session
from services.rewards.models import price_hours, price_observations, prices


async def insert_price(session: Session, **values: Any) -> None:
    """Note a price that holds from a moment on."""
    await session.execute(insert(prices), values)


async def find_price(session: Session, moment: datetime) -> Row[Any] | None:
    """The newest price that held at `moment`."""
    rows = await session.execute(
        select(prices)
        .where(prices.c.valid_from <= moment)
        .order_by(prices.c.valid_from.desc(), prices.c.id.desc())
        .limit(1)
    )
    return rows.one_or_none()


async def lock_source(session: Session, source: str) -> None:
    """Let one unit of work at a time note what a source said: the hour's median is of all of them."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"prices of {source}", 0))))


async def insert_observation(session: Session, *, source: str, observed_at: datetime, usd_e8: int) -> None:
    """Keep what a source said; a second word for the same moment is not listened to."""
    row = {"source": source, "observed_at": observed_at, "usd_e8": usd_e8}
    await session.execute(insert(price_observations).values(row).on_conflict_do_nothing())


async def find_observation(session: Session, source: str, moment: datetime) -> Row[Any] | None:
    """The last observation up to `moment`."""
    table = price_observations
    rows = await session.execute(
        select(table)
        .where(table.c.source == source, table.c.observed_at <= moment)
        .order_by(table.c.observed_at.desc())
        .limit(1)
    )
    return rows.one_or_none()


async def list_observed(session: Session, source: str, start: datetime, end: datetime) -> list[int]:
    """What was observed from `start` to before `end`, in USD × 10^8."""
    table = price_observations
    rows = await session.execute(
        select(table.c.usd_e8).where(table.c.source == source, table.c.observed_at >= start, table.c.observed_at < end)
    )
    return list(rows.scalars())


async def put_hour(session: Session, *, source: str, hour: datetime, median_usd_e8: int) -> None:
    """Write an hour's median."""
    statement = insert(price_hours).values(source=source, hour=hour, median_usd_e8=median_usd_e8)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[price_hours.c.source, price_hours.c.hour], set_={"median_usd_e8": median_usd_e8}
        )
    )


async def list_medians(session: Session, source: str, start: datetime, end: datetime) -> Sequence[int]:
    """The medians of the hours from `start` to before `end`, of those that have one."""
    rows = await session.execute(
        select(price_hours.c.median_usd_e8).where(
            price_hours.c.source == source, price_hours.c.hour >= start, price_hours.c.hour < end
        )
    )
    return list(rows.scalars())
