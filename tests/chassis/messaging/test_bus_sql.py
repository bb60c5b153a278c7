"""What only the log in PostgreSQL has: its schema, its bell, its locks."""

import asyncio

import asyncpg
import pytest

from chassis import bus_group
from chassis.bus import BusUnavailable, Record, _murmur2, bus_from_url, partition_of
from chassis.bus_kafka import KafkaBus
from chassis.bus_memory import MemoryBus
from chassis.bus_sql import SqlBus
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.outbox import Relay, publish
from tests.chassis.messaging.samples import REGISTRY, TOPIC, OrderPlaced, Recorder, drain, placed, read_all


async def test_many_processes_make_the_schema_at_once(bus_dsn: str) -> None:
    buses = [SqlBus(bus_dsn) for _ in range(8)]
    await asyncio.gather(*(bus.create_topics([TOPIC]) for bus in buses))
    await asyncio.gather(*(bus.publish([placed("a", n)]) for n, bus in enumerate(buses)))
    assert len(await read_all(buses[0], TOPIC)) == 8
    await asyncio.gather(*(bus.close() for bus in buses))


async def test_a_writer_that_commits_late_holds_back_who_comes_after_it(bus_dsn: str, sql_bus: SqlBus) -> None:
    """The reader must not see offset 1 before offset 0 exists."""
    late = await asyncpg.connect(bus_dsn)
    transaction = late.transaction()
    await transaction.start()
    await late.execute(
        "SELECT log_append($1, $2, $3, $4, $5, $6, $7, $8)",
        *([TOPIC], [partition_of(b"a", 6)], [1], [1], [0], [b"a"], [b"first"], [b"[]"]),
    )
    member = await sql_bus.consume("g", [TOPIC])
    second = asyncio.create_task(sql_bus.publish([Record(TOPIC, b"a", b"second")]))
    assert await member.fetch(max_records=10, timeout_seconds=0.5) == []
    assert not second.done()
    await transaction.commit()
    await asyncio.wait_for(second, 5)
    assert [delivery.record.value for delivery in await drain(member, count=2)] == [b"first", b"second"]
    await member.close()
    await late.close()


async def test_large_records_come_in_small_portions(sql_bus: SqlBus) -> None:
    value = bytes(3 * 2**20)
    for _ in range(5):
        await sql_bus.publish([Record(TOPIC, b"a", value)])
    member = await sql_bus.consume("g", [TOPIC])
    assert len(await member.fetch(max_records=100, timeout_seconds=5)) == 3
    assert len(await drain(member, count=2)) == 2
    await member.close()


async def test_a_log_that_was_made_anew_is_found_again(bus_dsn: str, sql_bus: SqlBus) -> None:
    await sql_bus.publish([placed("a", 0)])
    connection = await asyncpg.connect(bus_dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    with pytest.raises(BusUnavailable):
        await sql_bus.publish([placed("a", 1)])
    await sql_bus.create_topics([TOPIC])
    await sql_bus.publish([placed("a", 1)])
    assert len(await read_all(sql_bus, TOPIC)) == 1


async def test_bells_bring_an_event_to_its_handler_without_any_poll(
    database: Database, bus_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_group, "POLL_SECONDS", 60.0)
    arrival = asyncio.Event()
    recorder = Recorder()

    async def note(session: object, event: OrderPlaced, envelope: object) -> None:
        arrival.set()

    recorder.subscriptions.handlers[OrderPlaced] = note
    stopping = asyncio.Event()
    bus = SqlBus(bus_dsn, lease_seconds=600)
    relay = Relay(database, bus, poll_seconds=60)
    consumer = Consumer(database, bus, recorder.subscriptions, registry=REGISTRY, fetch_seconds=60)
    tasks = [asyncio.create_task(relay.run(stopping)), asyncio.create_task(consumer.run(stopping))]
    await asyncio.sleep(2)
    for number in range(10):
        async with database.unit_of_work() as session:
            publish(session, OrderPlaced(order=f"k{number}", number=number))
        await asyncio.wait_for(arrival.wait(), 10)
        arrival.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await bus.close()


def test_keys_fall_into_kafkas_partitions() -> None:
    """Vectors of Kafka's own test of its murmur2."""
    signed = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: _murmur2(key) for key in signed} == {key: value & 0xFFFFFFFF for key, value in signed.items()}


async def test_the_url_names_the_bus() -> None:
    assert isinstance(bus_from_url("memory://"), MemoryBus)
    assert isinstance(bus_from_url("postgresql://u:p@h/d"), SqlBus)
    assert isinstance(bus_from_url("kafka://broker:9092,[::1]:9093"), KafkaBus)
    for url in ("kafka://", "kafka://broker", "kafka://broker:9092,", "redis://x", ""):
        with pytest.raises(ValueError, match="BUS_URL") as error:
            bus_from_url(url)
        assert "\n" not in str(error.value)


async def test_a_server_that_is_not_there_is_said_so() -> None:
    bus = SqlBus("postgresql://nobody:x@127.0.0.1:1/none")
    with pytest.raises(BusUnavailable):
        await bus.publish([placed("a", 1)])
    await bus.close()
