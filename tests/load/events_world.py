"""What the benchmark of events stands on: a sample event with a handler that writes one row, and ways to fill
an outbox and a bus."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import sqlalchemy as sa

from chassis.bus import Bus, Record, Subscriptions
from chassis.bus_memory import MemoryBus
from chassis.clock import utc_now
from chassis.consumer import Consumer
from chassis.db import Database, Session, new_metadata
from chassis.envelope import Envelope, Event, wrap
from chassis.ids import new_id
from chassis.outbox import EVENT_HEADERS, Relay, publish
from chassis.sql import driver_of
from chassis.tables import attach_chassis_tables

GROUP = "bench"
BATCH = 200
"""Events of one unit of work: what `Consumer` takes by default."""

metadata = new_metadata()
attach_chassis_tables(metadata)
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
)
INSERT_EFFECT = "INSERT INTO effects (account, amount_cents) VALUES ($1, $2)"


class Paid(Event):
    """About the size of a completed transaction."""

    type_: ClassVar[str] = "bench.payment.paid.v1"
    key_field: ClassVar[str] = "account"
    account: str
    amount_cents: int
    note: str = ""


REGISTRY: dict[str, type[Event]] = {Paid.type_: Paid}
TOPIC = Paid.topic()
NOTE = "x" * 400


def payment(number: int) -> Record:
    """The record of one event; 2,000 accounts take turns."""
    event = Paid(account=f"account-{number % 2_000}", amount_cents=number, note=NOTE)
    envelope = wrap(event, event_id=new_id(), sequence=number // 2_000 + 1, time=utc_now(), traceparent=None)
    return Record(TOPIC, event.key().encode(), envelope.to_bytes(), EVENT_HEADERS)


def payments(count: int) -> list[Record]:
    """`count` records with fresh ids."""
    return [payment(number) for number in range(count)]


class NullBus(MemoryBus):
    """Acknowledges everything at once: what is left is the relay's own work."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Nothing."""


async def make_tables(database: Database) -> None:
    """The chassis' tables and the one for effects."""
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


async def fill_outbox(database: Database, count: int) -> None:
    """Put `count` events in the outbox, by its own `publish`, a thousand in each unit of work."""
    for start in range(0, count, 1_000):
        async with database.unit_of_work() as session:
            for number in range(start, min(start + 1_000, count)):
                event = Paid(account=f"account-{number % 2_000}", amount_cents=number, note=NOTE)
                publish(session, event)


async def drain_outbox(database: Database, bus: Bus, count: int) -> float:
    """Seconds that one relay takes for `count` unsent rows."""
    relay = Relay(database, bus)
    started, sent = time.perf_counter(), 0
    while sent < count:
        sent += await relay.run_once()
    return time.perf_counter() - started


class Sink:
    """The consumer's side: one row for each event, and the moments at which events came."""

    def __init__(self, group: str) -> None:
        self.subscriptions = Subscriptions(group)
        self.handled = 0
        self.last_cents = -1
        self.wanted: Callable[[], bool] = lambda: False
        self.begun = asyncio.Event()
        self.done = asyncio.Event()
        self.subscriptions.on(Paid)(self.handle)

    async def handle(self, session: Session, event: Paid, _envelope: Envelope) -> None:
        """Write the effect."""
        await (await driver_of(session)).execute(INSERT_EFFECT, event.account, event.amount_cents)
        self.handled += 1
        self.begun.set()
        self.last_cents = event.amount_cents
        if self.wanted():
            self.done.set()

    def consumer(self, database: Database, bus: Bus) -> Consumer:
        """The consumer that feeds this sink."""
        return Consumer(database, bus, self.subscriptions, registry=REGISTRY, batch_size=BATCH)


async def consume_all(database: Database, bus: Bus, count: int) -> float:
    """Seconds a fresh group takes for `count` events that wait on the bus, from the first to the last one handled."""
    sink, stopping = Sink(f"{GROUP}-{new_id().hex}"), asyncio.Event()
    sink.wanted = lambda: sink.handled >= count
    task = asyncio.create_task(sink.consumer(database, bus).run(stopping))
    await asyncio.wait_for(sink.begun.wait(), 60)
    started, before = time.perf_counter(), sink.handled
    await asyncio.wait_for(sink.done.wait(), 300)
    seconds = time.perf_counter() - started
    stopping.set()
    await task
    return seconds * count / (count - before)


async def latencies(database: Database, bus: Bus, count: int) -> list[float]:
    """Milliseconds from the commit of a unit of work with one event to its handler, one event at a time."""
    sink, stopping, found = Sink(f"{GROUP}-{new_id().hex}"), asyncio.Event(), []
    consumer = asyncio.create_task(sink.consumer(database, bus).run(stopping))
    relay = asyncio.create_task(Relay(database, bus).run(stopping))
    for number in range(-20, count):
        sink.done.clear()
        marker = 10**9 + number
        sink.wanted = lambda marker=marker: sink.last_cents == marker  # type: ignore[misc]
        async with database.unit_of_work() as session:
            publish(session, Paid(account=f"account-{number}", amount_cents=marker, note=NOTE))
        started = time.perf_counter()
        await asyncio.wait_for(sink.done.wait(), 60)
        if number >= 0:
            found.append((time.perf_counter() - started) * 1_000)
        await asyncio.sleep(0.01)
    stopping.set()
    await asyncio.gather(consumer, relay)
    return found
