"""Processes killed by SIGKILL, a database that restarts, a line that breaks: nothing is lost, nothing happens twice."""

import asyncio
import random
import tempfile
import time
from pathlib import Path

import pytest

from chassis.bus import BusUnavailable
from chassis.bus_sql import SqlBus
from chassis.db import Database
from chassis.embedded_postgres import Cluster
from chassis.outbox import Relay, publish
from chassis.testing import create_database, eventually
from tests.chassis.messaging.consuming import consuming, handled
from tests.chassis.messaging.processes import consumer_process, count_effects
from tests.chassis.messaging.samples import (
    TOPIC,
    OrderPlaced,
    Recorder,
    database_with_tables,
    effects_of,
    placed,
    read_all,
)


async def test_a_killed_consumer_is_followed_without_loss_or_repetition(database: Database, sql_bus: SqlBus) -> None:
    wanted = {f"key-{n}": list(range(60)) for n in range(10)}
    for number in range(60):
        await sql_bus.publish([placed(key, number) for key in wanted])
    for step in (80, 240):

        async def enough(least: int = step) -> bool:
            return await count_effects(database) >= least

        async with consumer_process(database, sql_bus) as process:
            await eventually(enough, seconds=90)
            await asyncio.sleep(random.random() / 10)
            process.kill()
        assert await count_effects(database) < 600
    started = time.monotonic()
    async with consuming(database, sql_bus, Recorder()):
        await handled(database, wanted, seconds=90)
    assert time.monotonic() - started < 80


async def test_partitions_of_a_killed_process_are_free_before_its_lease_ends(database: Database, bus_dsn: str) -> None:
    patient = SqlBus(bus_dsn, lease_seconds=60)
    await patient.create_topics([TOPIC])
    await patient.publish([placed("a", 0)])
    async with consumer_process(database, patient) as process:
        await handled(database, {"a": [0]}, seconds=90)
        process.kill()
    heir = await patient.consume("shop", [TOPIC])
    started = time.monotonic()
    async with asyncio.timeout(50):
        while len(heir.assignment()) < 6:
            heir.claim_soon()
            await heir.fetch(max_records=1, timeout_seconds=0.1)
    assert time.monotonic() - started < 20, "it waited for the lease"
    await heir.close()
    await patient.close()


@pytest.mark.parametrize("failpoint", ["p1", "p2", "p3", "p4", "p5"])
async def test_a_crash_at_each_named_point_ends_in_the_same_effects(
    database: Database, sql_bus: SqlBus, failpoint: str
) -> None:
    async with database.unit_of_work() as session:
        for number in range(30):
            publish(session, OrderPlaced(order=f"key-{number % 3}", number=number))
    async with consumer_process(database, sql_bus, failpoint) as process:
        assert await asyncio.wait_for(process.wait(), 60) == -9
    wanted = {f"key-{n}": list(range(n, 30, 3)) for n in range(3)}
    async with consuming(database, sql_bus, Recorder()):
        await handled(database, wanted, seconds=30)
    sent = [delivery.record.value for delivery in await read_all(sql_bus, TOPIC)]
    assert len(set(sent)) == 30
    assert len(sent) == (60 if failpoint == "p2" else 30)


def own_cluster() -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="btrst-restart-", dir="/var/tmp"))
    folder.chmod(0o711)
    cluster = Cluster(folder, durable=True)
    cluster.start()
    return cluster


async def test_a_server_that_restarts_delays_and_loses_nothing() -> None:
    cluster = own_cluster()
    try:
        port = int(cluster.dsn().rpartition(":")[2].partition("/")[0])
        database = await database_with_tables(await create_database(cluster.dsn(), "shop"))
        bus = SqlBus(await create_database(cluster.dsn(), "log"), lease_seconds=1)
        await bus.create_topics([TOPIC])
        recorder = Recorder()
        async with consuming(database, bus, recorder) as consumer:
            await bus.publish([placed("a", n) for n in range(10)])
            await handled(database, {"a": list(range(10))})
            recorder.pause_seconds = 0.05
            async with database.unit_of_work() as session:
                for number in range(10, 40):
                    publish(session, OrderPlaced(order="a", number=number))

            async def under_way() -> bool:
                return recorder.calls > 12

            await eventually(under_way)
            cluster.stop()
            with pytest.raises(BusUnavailable):
                await bus.publish([placed("b", 0)])
            await asyncio.sleep(3)
            cluster.start(port=port)
            await handled(database, {"a": list(range(40))}, seconds=90)
            assert consumer.healthy()
        await bus.close()
        await database.close()
    finally:
        cluster.remove()


async def test_two_relays_while_one_is_killed_send_everything_in_order(database: Database, sql_bus: SqlBus) -> None:
    async with consumer_process(database, sql_bus) as process:
        stopping = asyncio.Event()
        relay = asyncio.create_task(Relay(database, sql_bus, batch_size=7).run(stopping))
        for number in range(100):
            async with database.unit_of_work() as session:
                for key in ("a", "b", "c"):
                    publish(session, OrderPlaced(order=key, number=number))
            if number == 60:
                process.kill()

        async def sent() -> bool:
            return sum((await sql_bus.end_offsets([TOPIC])).values()) >= 300

        await eventually(sent)
        stopping.set()
        await relay
    async with consuming(database, sql_bus, Recorder()):
        await handled(database, {key: list(range(100)) for key in ("a", "b", "c")}, seconds=30)
    assert sum(map(len, (await effects_of(database)).values())) == 300
