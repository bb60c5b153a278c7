"""An event, a subscription that writes down what it saw, and the tables for both."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import sqlalchemy as sa

from chassis.bus import Bus, Delivery, Member, Record, Subscriptions, TopicPartition
from chassis.clock import utc_now
from chassis.db import Database, Session, new_metadata
from chassis.envelope import Envelope, Event, wrap
from chassis.ids import new_id
from chassis.tables import attach_chassis_tables

TOPIC = "orders.order"


class OrderPlaced(Event):
    """The `number`-th thing that happened to an order."""

    type_: ClassVar[str] = "orders.order.placed.v1"
    key_field: ClassVar[str] = "order"
    order: str
    number: int
    note: str = ""


class OrderDropped(Event):
    """Nobody here wants it."""

    type_: ClassVar[str] = "orders.order.dropped.v1"
    key_field: ClassVar[str] = "order"
    order: str


REGISTRY: dict[str, type[Event]] = {event.type_: event for event in (OrderPlaced, OrderDropped)}

metadata = new_metadata()
attach_chassis_tables(metadata)
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("seen_by", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)


async def database_with_tables(dsn: str) -> Database:
    """A database with the chassis' tables and the one for effects."""
    database = Database(dsn, pool_size=10)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return database


class Recorder:
    """Subscribes a group to OrderPlaced and writes an effect for each; fails for the keys in `broken`."""

    def __init__(self, group: str = "shop") -> None:
        self.subscriptions = Subscriptions(group)
        self.group = group
        self.broken: set[str] = set()
        self.calls = 0
        self.pause_seconds = 0.0
        self.subscriptions.on(OrderPlaced)(self.handle)

    async def handle(self, session: Session, event: OrderPlaced, envelope: Envelope) -> None:
        """Write the effect down."""
        self.calls += 1
        if event.order in self.broken:
            raise ValueError(f"cannot handle {event.order}")
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        await session.execute(sa.insert(effects).values(seen_by=self.group, key=event.order, number=event.number))


def placed(order: str, number: int) -> Record:
    """A record of an OrderPlaced, with a fresh id."""
    event = OrderPlaced(order=order, number=number)
    envelope = wrap(event, event_id=new_id(), sequence=number + 1, time=utc_now(), traceparent=None)
    return Record(TOPIC, order.encode(), envelope.to_bytes(), (("content-type", b"application/cloudevents+json"),))


async def effects_of(database: Database, group: str = "shop") -> dict[str, list[int]]:
    """What was handled, by key, in order."""
    async with database.unit_of_work() as session:
        rows = await session.execute(sa.select(effects).where(effects.c.seen_by == group).order_by(effects.c.id))
        found: dict[str, list[int]] = {}
        for row in rows:
            found.setdefault(row.key, []).append(row.number)
        return found


async def drain(member: Member, *, count: int, seconds: float = 10.0) -> list[Delivery]:
    """Fetch until `count` records came. Raises: TimeoutError."""
    found: list[Delivery] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found += await member.fetch(max_records=100, timeout_seconds=0.2)
    return found


async def read_all(bus: Bus, topic: str) -> list[Delivery]:
    """Everything a topic holds."""
    return [delivery async for delivery in bus.read(topic, start=0, follow=False)]


def values_by_key(deliveries: Sequence[Delivery]) -> dict[bytes, list[bytes]]:
    """The values for each key, in the order they came."""
    found: dict[bytes, list[bytes]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.record.key or b"", []).append(delivery.record.value or b"")
    return found


def positions_after(deliveries: Sequence[Delivery]) -> dict[TopicPartition, int]:
    """The positions once all of them are handled."""
    return {delivery.at: delivery.offset + 1 for delivery in deliveries}
