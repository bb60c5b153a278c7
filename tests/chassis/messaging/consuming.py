"""Running consumers in tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chassis.bus import Bus, BusUnavailable, Record, TopicPartition
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.outbox import Relay
from chassis.testing import eventually
from tests.chassis.messaging.samples import REGISTRY, Recorder, effects_of


@asynccontextmanager
async def consuming(database: Database, bus: Bus, recorder: Recorder, **options: Any) -> AsyncIterator[Consumer]:
    """A consumer and a relay that run inside the block."""
    stopping = asyncio.Event()
    options = {"registry": REGISTRY, "back_off_seconds": 0.01} | options
    consumer = Consumer(database, bus, recorder.subscriptions, **options)
    tasks = [
        asyncio.create_task(consumer.run(stopping)),
        asyncio.create_task(Relay(database, bus).run(stopping)),
    ]
    try:
        yield consumer
    finally:
        stopping.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)


def held_by(consumer: Consumer) -> frozenset[TopicPartition]:
    """The partitions a running consumer reads."""
    member = consumer._watchdog.member
    return member.assignment() if member else frozenset()


async def handled(
    database: Database, wanted: dict[str, list[int]], *, group: str = "shop", seconds: float = 15
) -> None:
    """Wait until exactly these effects are there. Raises: AssertionError."""

    async def check() -> bool:
        return await effects_of(database, group) == wanted

    await eventually(check, seconds=seconds)


async def publish_until_taken(bus: Bus, records: list[Record]) -> None:
    """What the relay does: the same records again until the bus has them."""
    for _ in range(60):
        try:
            return await bus.publish(records)
        except BusUnavailable:
            await asyncio.sleep(0.5)
    raise TimeoutError
