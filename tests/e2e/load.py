"""A running network on Kafka under load, and how far its consumer groups are."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from chassis.bus import DEAD_LETTER_SUFFIX, BusUnavailable, TopicPartition
from chassis.http import HttpClient
from events.registry import TOPICS
from scripts.api import Api, Person, eventually
from services.identity.handlers import subscriptions as identity_subscriptions
from services.jobs.handlers import subscriptions as jobs_subscriptions
from services.rewards.handlers import subscriptions as rewards_subscriptions
from tests.e2e.invariants import HeadWatch, Node, check_all, copies_of, rows_of, sum_of
from tests.e2e.network import Network
from tests.e2e.storm import bus_of, watch_head
from tests.e2e.work import Engagement, all_owed, audited, during, engage, everything_read, exact, meet

SUBSCRIPTIONS = {
    "identity": identity_subscriptions,
    "jobs": jobs_subscriptions,
    "rewards": rewards_subscriptions,
}
ENGAGEMENTS = 5
PAUSE_SECONDS = 1.5
STANDSTILL_SECONDS = 90.0


@dataclass(slots=True)
class World:
    """People at work in a running network."""

    network: Network
    http: HttpClient
    api: Api
    node: Node
    connectors: list[Person]
    engagements: list[Engagement]
    settled_before: int
    heads: HeadWatch

    @property
    def paid(self) -> int:
        """How many invoices were paid so far."""
        return sum(len(one.paid) for one in self.engagements)

    async def still_paying(self, seconds: float = 90.0) -> None:
        """Wait until every engagement has had one more payment: the network takes work."""
        before = [len(one.paid) for one in self.engagements]

        async def all_moved() -> bool:
            return all(len(one.paid) > count for one, count in zip(self.engagements, before, strict=True))

        await eventually("every engagement goes on", all_moved, seconds=seconds)


@contextlib.asynccontextmanager
async def at_work(network: Network) -> AsyncIterator[World]:
    """Engagements that invoice and pay for as long as the block runs; at its end everything owed must arrive."""
    async with HttpClient(timeout_seconds=10.0) as http:
        told = network.endpoints
        api, node = Api(told["gateway"], http, patience_seconds=180), Node(told["rpc"], http)
        settled = sum_of(await node.settled_logs(told["contracts"]["rewards_minter"]))
        connectors = await meet(api)
        engagements = list(await asyncio.gather(*(engage(api, n, connectors) for n in range(ENGAGEMENTS))))
        world = World(network, http, api, node, connectors, engagements, settled, HeadWatch())
        done = asyncio.Event()
        async with during(watch_head(node, world.heads)):
            work = [asyncio.create_task(one.work_until(done, pause_seconds=PAUSE_SECONDS)) for one in engagements]
            try:
                yield world
            finally:
                done.set()
                results = await asyncio.gather(*work, return_exceptions=True)
            assert [result for result in results if result is not None] == []
            await settled_to_the_wei(world)


async def settled_to_the_wei(world: World) -> None:
    """Everything owed has arrived, nothing else has, and every promise holds."""
    owed = all_owed(world.engagements)
    total = world.settled_before + sum(wei for _, wei in owed.values())
    await eventually("all is minted and buried", lambda: audited(world.api, total), seconds=150, every=0.5)
    await eventually("all is read", lambda: everything_read(world.network), seconds=60, every=0.5)
    await exact(world.network, world.http, owed, world.connectors, settled_before=world.settled_before)
    seen = await check_all(world.network.endpoints, world.http, heads=world.heads)
    topics = [topic for topic in seen.log if not topic.endswith(DEAD_LETTER_SUFFIX)]
    events = sum(len(copies_of(seen, topic)) for topic in topics)
    records = sum(len(seen.log[topic]) for topic in topics)
    print(f"{world.paid} paid, {len(owed)} rewards exact, {events} events in {records} records: 0 lost, 0 doubled")


async def ends_of(network: Network) -> dict[TopicPartition, int]:
    """Where the log ends now; waits for a broker that is on its way back."""

    async def ends() -> dict[TopicPartition, int] | None:
        async with bus_of(network) as bus:
            with contextlib.suppress(BusUnavailable):
                return await bus.end_offsets(TOPICS)
        return None

    found: dict[TopicPartition, int] = await eventually("the brokers answer", ends, seconds=60)
    return found


async def left_of(network: Network, group: str, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
    """How many records before these ends the group's stored positions have still to pass, where there are any."""
    rows = await rows_of(
        network.endpoints, group, "SELECT topic, partition, position FROM positions WHERE consumer_group = $1", group
    )
    reached = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    topics = SUBSCRIPTIONS[group].topics()
    left = {at: end - reached.get(at, 0) for at, end in ends.items() if at.topic in topics}
    return {at: records for at, records in left.items() if records > 0}


async def reaches(network: Network, group: str, ends: dict[TopicPartition, int]) -> None:
    """Wait until the group has handled what is before these ends: as long as it takes a slow machine, unless nothing
    moves."""
    before, moved_at = None, time.monotonic()
    while left := await left_of(network, group, ends):
        if left != before:
            before, moved_at = left, time.monotonic()
        assert time.monotonic() < moved_at + STANDSTILL_SECONDS, f"{group} stands still before {left}"
        await asyncio.sleep(0.2)


async def handles_what_comes(world: World, group: str) -> None:
    """Wait until the group has handled what is on the bus now, after one more payment of everybody."""
    await world.still_paying()
    await reaches(world.network, group, await ends_of(world.network))


async def broker_is_back(network: Network, name: str, before: int) -> None:
    """Wait until the supervisor has started this broker again."""

    async def is_another() -> bool:
        return bool(network.endpoints["infrastructure"][name] != before)

    await eventually(f"{name} is started again", is_another, seconds=60)
