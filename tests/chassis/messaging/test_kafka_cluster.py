"""Three brokers, every record on all of them: one dies, freezes or comes back in the middle of load."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis.bus import BusUnavailable
from chassis.bus_kafka import KafkaBus, Timing
from chassis.bus_kafka.positions import MOVED
from chassis.db import Database
from chassis.kafka_broker import Broker
from chassis.localkafka import LocalKafka
from chassis.outbox import Relay, publish
from chassis.settings import KafkaSettings
from chassis.testing import eventually
from tests.chassis.messaging.consuming import consuming, publish_until_taken
from tests.chassis.messaging.samples import TOPIC, OrderPlaced, Recorder, effects_of, placed, read_all

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


async def restart(broker: Broker) -> None:
    """The process is started by this thread: it would end with a thread of the loop's pool, when the loop closes."""
    await asyncio.to_thread(broker.stop)
    broker.launch()
    await asyncio.to_thread(broker.wait)


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
            await restart(kafka.brokers[0])
            await asyncio.sleep(5)
            kafka.brokers[1].freeze()
            await asyncio.sleep(20)
            kafka.brokers[1].thaw()
            await asyncio.sleep(5)
            await restart(kafka.brokers[2])
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


async def test_what_too_few_replicas_have_is_not_acknowledged(kafka: LocalKafka) -> None:
    """With all three wanted in sync, one broker down stops writing, and no more than delays it."""
    bus = bus_on(kafka, Timing(publish_seconds=8.0))
    guarded, admin = "orders.guarded", AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    first, second = ([placed("a", n)._replace(topic=guarded)] for n in range(2))
    try:
        await bus.create_topics([guarded])
        await admin.start()
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, guarded, {"min.insync.replicas": "3"})])
        await publish_until_taken(bus, first)
        kafka.brokers[0].kill()
        with pytest.raises(BusUnavailable):
            await bus.publish(second)
        await restart(kafka.brokers[0])
        await publish_until_taken(bus, second)
        values = [delivery.record.value for delivery in await read_all(bus, guarded)]
        assert list(dict.fromkeys(values)) == [first[0].value, second[0].value]
    finally:
        await admin.close()
        await bus.close()
