"""The same crashes on Kafka, and a process that is stopped longer than its session and then goes on."""

import asyncio
import random
import signal

import pytest

from chassis.db import Database
from chassis.outbox import Relay, publish
from chassis.testing import eventually
from tests.chassis.messaging.consuming import consuming, handled, held_by
from tests.chassis.messaging.kafka import PrivateKafka
from tests.chassis.messaging.processes import consumer_process, count_effects
from tests.chassis.messaging.samples import TOPIC, OrderPlaced, Recorder, placed, read_all

pytestmark = pytest.mark.kafka


async def test_a_killed_consumer_is_followed_without_loss_or_repetition(
    database: Database, kafka_bus: PrivateKafka
) -> None:
    wanted = {f"key-{n}": list(range(60)) for n in range(10)}
    for number in range(60):
        await kafka_bus.publish([placed(key, number) for key in wanted])

    async def enough() -> bool:
        return await count_effects(database) >= 80

    async with consumer_process(database, kafka_bus) as process:
        await eventually(enough, seconds=90)
        await asyncio.sleep(random.random() / 10)
        process.kill()
    assert await count_effects(database) < 600
    async with consuming(database, kafka_bus, Recorder()):
        await handled(database, wanted, seconds=90)


@pytest.mark.parametrize("failpoint", ["p2", "p3", "p4", "p5"])
async def test_a_crash_at_each_named_point_ends_in_the_same_effects(
    database: Database, kafka_bus: PrivateKafka, failpoint: str
) -> None:
    async with database.unit_of_work() as session:
        for number in range(30):
            publish(session, OrderPlaced(order=f"key-{number % 3}", number=number))
    async with consumer_process(database, kafka_bus, failpoint) as process:
        assert await asyncio.wait_for(process.wait(), 60) == -9
    wanted = {f"key-{n}": list(range(n, 30, 3)) for n in range(3)}
    async with consuming(database, kafka_bus, Recorder()):
        await handled(database, wanted, seconds=60)
    sent = [delivery.record.value for delivery in await read_all(kafka_bus, TOPIC)]
    assert len(set(sent)) == 30
    assert len(sent) == (60 if failpoint == "p2" else 30)


async def test_a_process_that_was_stopped_and_goes_on_changes_nothing(
    database: Database, kafka_bus: PrivateKafka
) -> None:
    """Stopped in the middle of its work for longer than its session; another member takes over meanwhile."""
    wanted = {f"key-{n}": list(range(60)) for n in range(10)}
    for number in range(30):
        await kafka_bus.publish([placed(key, number) for key in wanted])

    async def begun() -> bool:
        return await count_effects(database) >= 20

    async with consumer_process(database, kafka_bus) as zombie:
        await eventually(begun, seconds=90)
        zombie.send_signal(signal.SIGSTOP)
        try:
            # What it has in its unit of work stays locked; all the rest is free for the heir.
            async with consuming(database, kafka_bus, Recorder()) as heir:

                async def took_over() -> bool:
                    return len(held_by(heir)) == 6

                await eventually(took_over, seconds=60)
                zombie.send_signal(signal.SIGCONT)
                for number in range(30, 60):
                    await kafka_bus.publish([placed(key, number) for key in wanted])
                await handled(database, wanted, seconds=90)

                async def back() -> bool:
                    return len(held_by(heir)) == 3

                await eventually(back, seconds=60)
                await kafka_bus.publish([placed(key, 60) for key in wanted])
                await handled(database, {key: list(range(61)) for key in wanted}, seconds=60)
        finally:
            zombie.send_signal(signal.SIGCONT)


async def test_two_relays_while_one_is_killed_send_everything_in_order(
    database: Database, kafka_bus: PrivateKafka
) -> None:
    async with consumer_process(database, kafka_bus) as process:
        stopping = asyncio.Event()
        relay = asyncio.create_task(Relay(database, kafka_bus, batch_size=7).run(stopping))
        for number in range(60):
            async with database.unit_of_work() as session:
                for key in ("a", "b", "c"):
                    publish(session, OrderPlaced(order=key, number=number))
            if number == 40:
                process.kill()

        async def sent() -> bool:
            return sum((await kafka_bus.end_offsets([TOPIC])).values()) >= 180

        await eventually(sent, seconds=60)
        stopping.set()
        await relay
    async with consuming(database, kafka_bus, Recorder()):
        await handled(database, {key: list(range(60)) for key in ("a", "b", "c")}, seconds=60)
