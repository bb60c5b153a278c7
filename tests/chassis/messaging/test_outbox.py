"""The outbox: sequences without a gap, the order of commits on the bus, and what a crash leaves behind."""

import asyncio
import contextlib
import json
import random
from typing import Any

import pytest
import sqlalchemy as sa
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured_event

from chassis.bus import BusUnavailable, Record
from chassis.bus_memory import MemoryBus
from chassis.bus_sql import SqlBus
from chassis.db import Database
from chassis.envelope import Envelope
from chassis.outbox import CLAIM, NEXT_BATCH, RELAY_LOCK, SHARDS, Relay, publish, publish_copy
from chassis.sql import driver_of
from chassis.tables import outbox, outbox_sequence
from chassis.testing import eventually
from chassis.tracing import TRACEPARENT
from tests.chassis.messaging.samples import TOPIC, OrderDropped, OrderPlaced, effects, read_all


async def envelopes_on(bus: Any) -> list[Envelope]:
    return [Envelope.model_validate_json(delivery.record.value or b"") for delivery in await read_all(bus, TOPIC)]


async def relay_all(relay: Relay) -> int:
    sent = 0
    while batch := await relay.run_once():
        sent += batch
    return sent


async def test_an_event_is_stored_with_the_state_and_only_then(database: Database) -> None:
    bus = MemoryBus()
    with contextlib.suppress(ZeroDivisionError):
        async with database.unit_of_work() as session:
            publish(session, OrderPlaced(order="a", number=1))
            1 / 0  # noqa: B018
    async with database.unit_of_work() as session:
        publish(session, OrderPlaced(order="a", number=2))
        publish(session, OrderPlaced(order="b", number=3))
        publish(session, OrderPlaced(order="a", number=4))
    assert await relay_all(Relay(database, bus)) == 3
    found = [(e.subject, e.data["number"], e.sequence) for e in await envelopes_on(bus)]
    assert sorted(found) == [("a", 2, "1"), ("a", 4, "2"), ("b", 3, "1")]


async def test_a_flush_that_fails_leaves_no_row_outside_the_transaction(database: Database) -> None:
    async def fail(_session: Any) -> None:
        raise RuntimeError("after the flush")

    async def copy() -> None:
        async with database.unit_of_work() as session:
            publish_copy(session, Record(TOPIC, b"a", b"only a copy: no statement before it"))
            session.before_commit(fail)

    with pytest.raises(RuntimeError):
        await copy()
    async with database.unit_of_work() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(outbox)) == 0
        assert await session.scalar(sa.select(sa.func.count()).select_from(outbox_sequence)) == 0


async def test_the_envelope_is_a_cloud_event_for_the_sdk_too(database: Database) -> None:
    bus = MemoryBus()
    token = TRACEPARENT.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    async with database.unit_of_work() as session:
        publish(session, OrderPlaced(order="a", number=1))
    TRACEPARENT.reset(token)
    await relay_all(Relay(database, bus))
    record = (await read_all(bus, TOPIC))[0].record
    assert record.headers == (("content-type", b"application/cloudevents+json"),)
    event = from_structured_event(KafkaMessage(dict(record.headers), record.key, record.value or b""))
    own = Envelope.model_validate_json(record.value or b"")
    assert (event.get_id(), event.get_source(), event.get_type()) == (
        str(own.id),
        "/services/orders",
        OrderPlaced.type_,
    )
    assert (event.get_subject(), event.get_time()) == ("a", own.time)
    assert event.get_data() == {"order": "a", "number": 1, "note": ""}
    assert event.get_extension("sequence") == "1"
    assert event.get_extension("traceparent") == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert json.loads(record.value or b"")["time"].endswith("Z")


async def test_an_event_of_no_request_begins_a_trace(database: Database) -> None:
    bus = MemoryBus()
    async with database.unit_of_work() as session:
        publish(session, OrderPlaced(order="a", number=1))
        publish(session, OrderPlaced(order="a", number=2))
    await relay_all(Relay(database, bus))
    traces = [json.loads(delivery.record.value or b"")["traceparent"] for delivery in await read_all(bus, TOPIC)]
    assert all(trace == "00-" + trace[3:35] + "-" + trace[36:52] + "-01" for trace in traces)
    assert len({trace[3:35] for trace in traces}) == 2


async def test_concurrent_writers_and_two_relays_keep_the_order_of_commits(database: Database, sql_bus: SqlBus) -> None:
    """Each unit of work writes an effect while it holds the key's row, so the effects tell the order of commits."""
    stopping = asyncio.Event()
    relays = [asyncio.create_task(Relay(database, sql_bus, batch_size=20).run(stopping)) for _ in range(2)]
    keys = [f"key-{n}" for n in range(5)]

    async def write(writer: int) -> None:
        for number in range(25):
            async with database.unit_of_work() as session:
                chosen = random.sample(keys, 2)
                for key in sorted(chosen):
                    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(keys.index(key))))
                for key in chosen:
                    publish(session, OrderPlaced(order=key, number=writer * 1_000 + number))
                    await session.execute(
                        sa.insert(effects).values(seen_by="w", key=key, number=writer * 1_000 + number)
                    )
                await asyncio.sleep(random.random() / 200)

    await asyncio.gather(*(write(writer) for writer in range(8)))

    async def all_sent() -> bool:
        return sum((await sql_bus.end_offsets([TOPIC])).values()) >= 400

    await eventually(all_sent)
    stopping.set()
    await asyncio.gather(*relays)
    on_bus: dict[str, list[int]] = {}
    sequences: dict[str, list[int]] = {}
    for envelope in await envelopes_on(sql_bus):
        on_bus.setdefault(envelope.subject, []).append(envelope.data["number"])
        sequences.setdefault(envelope.subject, []).append(int(envelope.sequence))
    committed: dict[str, list[int]] = {}
    async with database.unit_of_work() as session:
        for row in await session.execute(sa.select(effects).order_by(effects.c.id)):
            committed.setdefault(row.key, []).append(row.number)
    assert on_bus == committed
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())


async def test_units_of_work_over_the_same_keys_in_any_order_do_not_deadlock(database: Database) -> None:
    async def write(order: list[str]) -> None:
        async with database.unit_of_work() as session:
            for key in order:
                publish(session, OrderPlaced(order=key, number=1))

    keys = [f"k{n}" for n in range(30)]
    await asyncio.gather(*(write(random.sample(keys, 30)) for _ in range(20)))
    async with database.unit_of_work() as session:
        assert set((await session.execute(sa.select(outbox_sequence.c.last))).scalars()) == {20}


class DroppingBus(MemoryBus):
    """Takes the records, and then the line breaks before the answer arrives."""

    failing = True

    async def publish(self, records: Any) -> None:
        """Keep the records, but say otherwise."""
        await super().publish(records)
        if self.failing:
            raise BusUnavailable("the answer is lost")


async def test_a_crash_between_publish_and_mark_sends_the_same_bytes_again(database: Database) -> None:
    bus = DroppingBus()
    await bus.create_topics([TOPIC])
    relay = Relay(database, bus)
    async with database.unit_of_work() as session:
        for number in range(3):
            publish(session, OrderPlaced(order="a", number=number))
    with pytest.raises(BusUnavailable):
        await relay.run_once()
    bus.failing = False
    assert await relay_all(relay) == 3
    assert await relay_all(relay) == 0
    records = [delivery.record for delivery in await read_all(bus, TOPIC)]
    assert len(records) == 6
    assert records[:3] == records[3:]


async def test_the_relay_waits_for_a_bus_that_is_away(database: Database) -> None:
    class AwayBus(MemoryBus):
        away = True

        async def publish(self, records: Any) -> None:
            if self.away:
                raise BusUnavailable("away")
            await super().publish(records)

    bus, stopping = AwayBus(), asyncio.Event()
    task = asyncio.create_task(Relay(database, bus).run(stopping))
    async with database.unit_of_work() as session:
        publish(session, OrderPlaced(order="a", number=1))
    await asyncio.sleep(0.5)
    bus.away = False

    async def sent() -> bool:
        return sum((await bus.end_offsets([TOPIC])).values()) == 1

    await eventually(sent)
    stopping.set()
    await asyncio.wait_for(task, 5)


async def test_a_commit_wakes_the_relay(database: Database) -> None:
    bus, stopping = MemoryBus(), asyncio.Event()
    relay = Relay(database, bus, poll_seconds=60)
    task = asyncio.create_task(relay.run(stopping))
    await asyncio.sleep(0.3)
    async with database.unit_of_work() as session:
        publish(session, OrderDropped(order="a"))

    async def sent() -> bool:
        return sum((await bus.end_offsets([TOPIC])).values()) == 1

    await eventually(sent, seconds=5)
    stopping.set()
    relay.wake()
    await asyncio.wait_for(task, 5)


async def test_rows_that_the_bus_has_are_gone_and_the_sequence_goes_on(database: Database) -> None:
    bus = MemoryBus()
    for number in (1, 2):
        async with database.unit_of_work() as session:
            publish(session, OrderPlaced(order="a", number=number))
        await Relay(database, bus).run_once()
        async with database.unit_of_work() as session:
            assert await session.scalar(sa.select(sa.func.count()).select_from(outbox)) == 0
    assert [envelope.sequence for envelope in await envelopes_on(bus)] == ["1", "2"]


async def test_a_batch_costs_the_same_however_many_rows_wait(database: Database) -> None:
    """The planner has no statistics of a table that was just filled: it must not read all of it for a batch."""
    async with database.unit_of_work() as session:
        for number in range(5_000):
            publish(session, OrderPlaced(order=str(number), number=number))
    bus = MemoryBus()
    assert await Relay(database, bus, batch_size=10).run_once() == 10

    async with database.unit_of_work() as session:
        claimed = await session.execute(CLAIM, {"last": SHARDS - 1, "lock": RELAY_LOCK})
        shards = [row.shard for row in claimed]
        rows = await (await driver_of(session)).fetch(f"EXPLAIN ANALYZE {NEXT_BATCH}", shards, 10)
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan" in plan
    assert "Sort" not in plan


async def test_an_event_too_large_fails_the_unit_of_work(database: Database) -> None:
    async def write() -> None:
        async with database.unit_of_work() as session:
            publish(session, OrderDropped(order="x" * 100))
            publish(session, OrderPlaced(order="y", number=1, note="y" * 1_000_001))

    with pytest.raises(ValueError, match="over the limit"):
        await write()
    async with database.unit_of_work() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(outbox)) == 0
