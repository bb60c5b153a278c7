"""Figures of a running service that nobody comes by to count: the pool's connections and the parked events."""

from prometheus_client import Gauge
from sqlalchemy import text

from chassis.context import Context
from chassis.workers import Worker

POOL_IN_USE = Gauge("btrst_db_pool_in_use", "Connections lent out", ["service"])
POOL_LIMIT = Gauge("btrst_db_pool_limit", "Connections the pool may lend out", ["service"])
PARKED = Gauge("btrst_consumer_parked", "Events put aside until somebody replays them", ["group"])

_PARKED = text("SELECT consumer_group, count(*) AS events FROM parked GROUP BY consumer_group")


def watch_pool(context: Context) -> None:
    """Show the pool of this process at every scrape."""
    POOL_LIMIT.labels(context.service).set(context.database.pool_limit)
    POOL_IN_USE.labels(context.service).set_function(context.database.connections_in_use)


async def count_parked(context: Context) -> bool:
    """Count what is parked, for each group that ever parked something here."""
    async with context.database.unit_of_work() as session:
        counted = {row.consumer_group: row.events for row in await session.execute(_PARKED)}
    if context.consumer is not None:
        counted.setdefault(context.consumer.group, 0)
    for group, events in counted.items():
        PARKED.labels(group).set(events)
    return False


MEASURE = Worker("count_parked", count_parked, 10.0)
