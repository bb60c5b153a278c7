"""Three brokers, every record on all of them: one dies, freezes or comes back in the middle of load."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from chassis.bus_kafka import KafkaBus, Timing
from chassis.bus_kafka.positions import MOVED
from chassis.db import Database
from chassis.localkafka import LocalKafka
from chassis.outbox import Relay, publish
from chassis.settings import KafkaSettings
from chassis.testing import eventually
from tests.chassis.messaging.consuming import consuming
from tests.chassis.messaging.samples import TOPIC, OrderPlaced, Recorder, effects_of, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]

KEYS = [f"key-{n}" for n in range(12)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    kafka = LocalKafka(tmp_path_factory.mktemp("cluster"), brokers=3)
    kafka.start()
    yield kafka
    kafka.kill()


def bus_on(kafka: LocalKafka, timing: Timing) -> KafkaBus:
    return KafkaBus(f"kafka://{kafka.bootstrap}", KafkaSettings(kafka_replication_factor=3), timing=timing)


async def test_a_broker_killed_frozen_and_back_under_load_costs_nothing(kafka: LocalKafka, database: Database) -> None:
    """0 lost, 0 twice, each key in order, while two consumers and two relays work and the brokers do not all."""
    bus = bus_on(kafka, Timing(session_seconds=6.0))
    written = 0
    ending = asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not ending.is_set():
            async with database.unit_of_work() as session:
                for key in KEYS:
                    publish(session, OrderPlaced(order=key, number=written))
            written += 1
            await asyncio.sleep(0.02)

    async def all_handled() -> bool:
        found = await effects_of(database)
        return found == {key: list(range(written)) for key in KEYS}

    stopping = asyncio.Event()
    second_relay = asyncio.create_task(Relay(database, bus, batch_size=50).run(stopping))
    try:
        await bus.create_topics([TOPIC])
        async with consuming(database, bus, Recorder()), consuming(database, bus, Recorder()):
            writing = asyncio.create_task(write())
            await asyncio.sleep(3)
            kafka.brokers[0].kill()
            await asyncio.sleep(8)
            await asyncio.to_thread(kafka.brokers[0].restart)
            await asyncio.sleep(5)
            kafka.brokers[1].freeze()
            await asyncio.sleep(20)
            kafka.brokers[1].thaw()
            await asyncio.sleep(5)
            await asyncio.to_thread(kafka.brokers[2].restart)
            await asyncio.sleep(3)
            ending.set()
            await writing
            started = time.monotonic()
            await eventually(all_handled, seconds=120, every=1.0)
            print(f"{written * len(KEYS)} events, the last {time.monotonic() - started:.1f} s after the last write")
        values = [delivery.record.value for delivery in await read_all(bus, TOPIC)]
        assert len(set(values)) == written * len(KEYS)
        assert written > 200, "there was no load"
        moved = [sample for metric in MOVED.collect() for sample in metric.samples if sample.labels["topic"] == TOPIC]
        assert not moved, "a log was taken for another one"
    finally:
        stopping.set()
        await asyncio.wait_for(second_relay, 60)
        await bus.close()
