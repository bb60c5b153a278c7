"""The consumer: once, in order, around poison, through retries, on each bus and on a real database."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.bus import Bus, Delivery, Record, partition_of
from chassis.bus_memory import MemoryBus
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.envelope import Envelope
from chassis.outbox import publish
from chassis.replay import list_parked, replay_parked
from chassis.tables import inbox, parked, positions
from chassis.testing import eventually
from chassis.tracing import current_traceparent
from tests.chassis.messaging.consuming import consuming, handled, held_by
from tests.chassis.messaging.samples import (
    REGISTRY,
    TOPIC,
    OrderDropped,
    OrderPlaced,
    Recorder,
    effects_of,
    placed,
    read_all,
)

DLQ = f"{TOPIC}.shop.dlq"


async def dead_letters(bus: Bus, count: int) -> list[Delivery]:
    async def check() -> list[Delivery] | None:
        ends = await bus.end_offsets([DLQ])
        return await read_all(bus, DLQ) if ends and sum(ends.values()) >= count else None

    found: list[Delivery] = await eventually(check)
    assert len(found) == count
    return found


async def statuses(database: Database) -> dict[str, int]:
    async with database.unit_of_work() as session:
        rows = await session.execute(sa.select(inbox.c.status, sa.func.count()).group_by(inbox.c.status))
        return {row[0]: row[1] for row in rows}


async def test_events_are_handled_in_the_order_of_their_key(bus: Bus, database: Database) -> None:
    recorder = Recorder()
    async with consuming(database, bus, recorder):
        for number in range(20):
            await bus.publish([placed(f"key-{n}", number) for n in range(10)])
        await handled(database, {f"key-{n}": list(range(20)) for n in range(10)})
    assert await statuses(database) == {"done": 200}
    assert recorder.calls == 200


async def test_a_redelivered_event_is_handled_once(bus: Bus, database: Database) -> None:
    records = [placed("a", n) for n in range(5)]
    await bus.publish([*records, *records])
    async with consuming(database, bus, Recorder()):
        await handled(database, {"a": [0, 1, 2, 3, 4]})
        await bus.publish([*records, placed("a", 5)])
        await handled(database, {"a": [0, 1, 2, 3, 4, 5]})


async def test_what_the_database_forgot_is_read_again(bus: Bus, database: Database) -> None:
    """A group starts where its own database says, whatever the bus remembers: so a restored copy catches up."""
    await bus.publish([placed("a", n) for n in range(5)])
    async with consuming(database, bus, Recorder()):
        await handled(database, {"a": [0, 1, 2, 3, 4]})
    async with database.unit_of_work() as session:
        for table in ("effects", "inbox", "positions"):
            await session.execute(sa.text(f"TRUNCATE {table}"))
    async with consuming(database, bus, Recorder()):
        await handled(database, {"a": [0, 1, 2, 3, 4]})


async def test_a_replay_from_the_beginning_changes_nothing(bus: Bus, database: Database) -> None:
    await bus.publish([placed(f"key-{n}", m) for m in range(5) for n in range(5)])
    async with consuming(database, bus, Recorder()):
        await handled(database, {f"key-{n}": [0, 1, 2, 3, 4] for n in range(5)})
    async with database.unit_of_work() as session:
        await session.execute(sa.update(positions).values(position=0))
    recorder = Recorder()
    async with consuming(database, bus, recorder):

        async def read_again() -> bool:
            async with database.unit_of_work() as session:
                total = await session.scalar(sa.select(sa.func.sum(positions.c.position)))
            return int(total) == 25

        await eventually(read_again)
    assert recorder.calls == 0
    assert await effects_of(database) == {f"key-{n}": [0, 1, 2, 3, 4] for n in range(5)}


async def test_two_consumers_of_a_group_share_the_work(bus: Bus, database: Database) -> None:
    first, second = Recorder(), Recorder()
    wanted = {f"key-{n}": list(range(10)) for n in range(40)}
    async with consuming(database, bus, first) as one, consuming(database, bus, second) as other:

        async def shared() -> bool:
            return len(held_by(one)) == len(held_by(other)) == 3

        await eventually(shared)
        for number in range(10):
            await bus.publish([placed(key, number) for key in wanted])
        await handled(database, wanted, seconds=20)
    assert first.calls
    assert second.calls
    assert first.calls + second.calls == 400


async def test_a_failing_event_is_parked_with_those_behind_it_while_others_flow(bus: Bus, database: Database) -> None:
    recorder = Recorder()
    recorder.broken = {"bad"}
    async with consuming(database, bus, recorder, attempts=3):
        first = placed("bad", 0)
        await bus.publish([placed("good", 0), first, placed("good", 1), placed("bad", 1)])
        await handled(database, {"good": [0, 1]})
        letter = (await dead_letters(bus, 1))[0].record
        headers = dict(letter.headers)
        assert (letter.key, letter.value) == (first.key, first.value)
        assert headers["content-type"] == b"application/cloudevents+json"
        assert headers["dlq-reason"] == b"ValueError: cannot handle bad"
        assert headers["dlq-attempts"] == b"3"
        assert (headers["dlq-partition"], headers["dlq-offset"]) == (_partition("bad"), b"0")
        recorder.broken = set()
        await bus.publish([placed("bad", 2), placed("good", 2)])
        await handled(database, {"good": [0, 1, 2]})

        async def waiting() -> bool:
            async with database.unit_of_work() as session:
                return len(await list_parked(session, group="shop")) == 3

        await eventually(waiting)
        assert await statuses(database) == {"done": 3, "parked": 3}
        async with database.unit_of_work() as session:
            assert [item.attempts for item in await list_parked(session, group="shop")] == [3, 0, 0]
        replayed = await replay_parked(database, recorder.subscriptions, registry=REGISTRY)
        assert (replayed.done, replayed.failed) == (3, [])
        assert await effects_of(database) == {"good": [0, 1, 2], "bad": [0, 1, 2]}
        assert await statuses(database) == {"done": 6}
        await bus.publish([first, placed("bad", 3)])
        await handled(database, {"good": [0, 1, 2], "bad": [0, 1, 2, 3]})


def _partition(key: str) -> bytes:
    return str(partition_of(key.encode(), 6)).encode()


async def test_a_replay_stops_a_key_at_its_first_failure(database: Database) -> None:
    bus, recorder = MemoryBus(), Recorder()
    recorder.broken = {"bad", "worse"}
    await bus.create_topics([TOPIC])
    await bus.publish([placed(key, n) for n in range(2) for key in ("bad", "worse")])
    async with consuming(database, bus, recorder, attempts=2):
        await dead_letters(bus, 2)

        async def all_parked() -> bool:
            return await statuses(database) == {"parked": 4}

        await eventually(all_parked)
    recorder.broken = {"worse"}
    replayed = await replay_parked(database, recorder.subscriptions, registry=REGISTRY)
    assert (replayed.done, replayed.failed) == (2, [(TOPIC, b"worse", "ValueError: cannot handle worse")])
    async with database.unit_of_work() as session:
        left = [(item.delivery.record.key, item.attempts) for item in await list_parked(session)]
    assert left == [(b"worse", 3), (b"worse", 0)]
    recorder.broken = set()
    assert (await replay_parked(database, recorder.subscriptions, registry=REGISTRY, key=b"bad")).done == 0
    assert (await replay_parked(database, recorder.subscriptions, registry=REGISTRY, key=b"worse")).done == 2


def _envelope(**changes: Any) -> bytes:
    whole = json.loads(placed("a", 1).value or b"")
    return json.dumps(whole | changes).encode()


POISON: list[tuple[str, bytes | None, bytes | None]] = [
    ("empty value", b"a", None),
    ("not JSON", b"a", b"not json"),
    ("not JSON", b"a", b"\xff\xfe"),
    ("not JSON", b"a", b'{"specversion": NaN}'),
    ("not JSON", b"a", _envelope().replace(b'"number": 1', b'"number": 1e400')),
    ("not JSON", b"a", _envelope().replace(b'"number": 1', b'"number": 1, "number": 2')),
    ("not JSON", b"a", b"[" * 100_000),
    ("not JSON", b"a", _envelope().replace(b'"note": ""', b'"note": "\\ud800"')),
    ("not JSON", b"a", _envelope().replace(b'"note": ""', b'"note": "\\u0000"')),
    ("not an envelope", b"a", b"[]"),
    ("not an envelope: specversion", b"a", _envelope(specversion="0.3")),
    ("not an envelope: sequence", b"a", _envelope(sequence="0")),
    ("not an envelope: id", b"a", _envelope(id="7")),
    ("unknown type orders.order.placed.v2", b"a", _envelope(type="orders.order.placed.v2")),
    ("unknown type orders.order.burnt.v1", b"a", _envelope(type="orders.order.burnt.v1")),
    ("wrong schema: number", b"a", _envelope(data={"order": "a", "number": "many"})),
    ("wrong schema: order", b"a", _envelope(data={"number": 1})),
    ("null key", None, _envelope()),
    ("the key is not the subject", b"b", _envelope()),
    ("the subject is not the event's key", b"a", _envelope(data={"order": "b", "number": 1})),
    ("too large", b"a", _envelope(data={"order": "a", "number": 1, "note": "x" * 2_000_000})),
]


async def test_poison_is_dead_lettered_with_its_reason_and_blocks_nothing(bus: Bus, database: Database) -> None:
    recorder = Recorder()
    async with consuming(database, bus, recorder):
        records = []
        for number, (_, key, value) in enumerate(POISON):
            records += [Record(TOPIC, key, value, (("nth", str(number).encode()),)), placed("a", number)]
        await bus.publish(records)
        await handled(database, {"a": list(range(len(POISON)))})
        letters = await dead_letters(bus, len(POISON))
    for letter in letters:
        headers = dict(letter.record.headers)
        reason, key, value = POISON[int(headers["nth"])]
        assert headers["dlq-reason"].decode().startswith(reason)
        assert (letter.record.key, letter.record.value) == (key, value)
        assert {"dlq-partition", "dlq-offset", "dlq-attempts"} <= headers.keys()
    assert recorder.calls == len(POISON)


async def test_an_event_on_a_topic_that_is_not_its_own_is_poison(database: Database) -> None:
    class OrderShipped(OrderDropped):
        """On another topic."""

        type_ = "orders.parcel.shipped.v1"

    bus, recorder = MemoryBus(), Recorder()
    registry = {**REGISTRY, OrderShipped.type_: OrderShipped}
    await bus.create_topics([TOPIC])
    await bus.publish([Record(TOPIC, b"a", _envelope(type=OrderShipped.type_))])
    async with consuming(database, bus, recorder, registry=registry):
        letter = (await dead_letters(bus, 1))[0]
    assert dict(letter.record.headers)["dlq-reason"] == f"{OrderShipped.type_} does not belong on {TOPIC}".encode()


async def test_an_event_nobody_wants_is_skipped(bus: Bus, database: Database) -> None:
    recorder = Recorder()
    async with consuming(database, bus, recorder):
        await bus.publish([Record(TOPIC, b"a", _envelope(type="orders.order.dropped.v1")), placed("a", 1)])
        await handled(database, {"a": [1]})
        assert await bus.end_offsets([DLQ]) != {}
        assert sum((await bus.end_offsets([DLQ])).values()) == 0


async def test_the_handlers_events_go_out_in_the_same_trace(database: Database) -> None:
    bus = MemoryBus()
    await bus.create_topics([TOPIC])
    recorder = Recorder("chain")
    seen: list[str | None] = []

    async def answer(session: Any, event: OrderPlaced, envelope: Envelope) -> None:
        seen.append(current_traceparent())
        if event.number < 3:
            publish(session, OrderPlaced(order=event.order, number=event.number + 1))

    recorder.subscriptions.handlers[OrderPlaced] = answer
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await bus.publish([Record(TOPIC, b"a", _envelope(traceparent=trace))])
    async with consuming(database, bus, recorder):

        async def three() -> bool:
            return len(seen) == 3

        await eventually(three)
    assert {found[3:35] for found in seen if found} == {trace[3:35]}
    assert len(set(seen)) == 3
    assert current_traceparent() is None


async def test_a_deadlock_in_a_handler_is_tried_again_without_end(database: Database) -> None:
    bus, recorder = MemoryBus(), Recorder()
    await bus.create_topics([TOPIC])
    fails = 8

    async def handle(session: Any, event: OrderPlaced, envelope: Envelope) -> None:
        nonlocal fails
        if fails:
            fails -= 1
            await session.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        await recorder.handle(session, event, envelope)

    recorder.subscriptions.handlers[OrderPlaced] = handle
    await bus.publish([placed("a", 1)])
    async with consuming(database, bus, recorder, attempts=2):
        await handled(database, {"a": [1]}, seconds=40)
    async with database.unit_of_work() as session:
        assert not await list_parked(session)


async def test_the_watchdog_notices_a_consumer_that_stands_still(database: Database) -> None:
    bus, recorder = MemoryBus(), Recorder()
    recorder.pause_seconds = 2.5
    await bus.create_topics([TOPIC])
    async with consuming(database, bus, recorder, stall_seconds=0.8) as consumer:
        assert consumer.healthy()
        await bus.publish([placed("a", 1)])

        async def sick() -> bool:
            return not consumer.healthy()

        await eventually(sick, seconds=5)
        await handled(database, {"a": [1]})

        async def well() -> bool:
            return consumer.healthy()

        await eventually(well, seconds=5)


async def test_an_idle_consumer_is_healthy(database: Database) -> None:
    bus = MemoryBus()
    await bus.create_topics([TOPIC])
    async with consuming(database, bus, Recorder(), stall_seconds=0.2) as consumer:
        await asyncio.sleep(1)
        assert consumer.healthy()


async def test_stopping_finishes_the_batch_in_flight(database: Database) -> None:
    bus, recorder = MemoryBus(), Recorder()
    recorder.pause_seconds = 0.3
    await bus.create_topics([TOPIC])
    await bus.publish([placed("a", n) for n in range(3)])
    stopping = asyncio.Event()
    task = asyncio.create_task(Consumer(database, bus, recorder.subscriptions, registry=REGISTRY).run(stopping))

    async def begun() -> bool:
        return recorder.calls > 0

    await eventually(begun)
    stopping.set()
    await asyncio.wait_for(task, 10)
    assert await effects_of(database) == {"a": [0, 1, 2]}


async def test_a_handler_has_one_place(database: Database) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="OrderPlaced has a handler already"):
        recorder.subscriptions.on(OrderPlaced)(recorder.handle)
    assert recorder.subscriptions.topics() == [TOPIC]
    async with database.unit_of_work() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(parked)) == 0
