"""The main job on Apache Kafka: the demo, the same state again, and a network that keeps its word through faults."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis.bus import BusUnavailable, TopicPartition
from chassis.http import HttpClient
from events.registry import TOPICS
from scripts.api import Api, Person, eventually
from services.jobs.handlers import subscriptions as jobs_subscriptions
from services.rewards.handlers import subscriptions as rewards_subscriptions
from tests.e2e.invariants import HeadWatch, Node, check_all, rows_of, sum_of
from tests.e2e.network import CLOSING, ROOT, Network, environment, free_port
from tests.e2e.replicas import Replicas, consumed, frozen, second_set
from tests.e2e.storm import bus_of, watch_head
from tests.e2e.work import Engagement, all_owed, audited, during, engage, everything_read, exact, meet

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]

ENGAGEMENTS = 5
FREEZE_SECONDS = 20.0
KEPT = {
    "jobs": ("transactions", "payments", "invoices", "refunds", "parameters"),
    "rewards": ("transactions", "refunds", "rewards", "reward_steps", "ledger_postings", "settlements", "parties"),
}
"""Tables that only an event or a member changes."""


@pytest.fixture(scope="module")
def mode() -> str:
    """All of this is about Kafka."""
    return "kafka"


def run(module: str, run_folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module]
    told = environment(run_folder, free_port(), ONCE="1", **more)
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=300, check=False)


def test_the_demo(run_folder: Path) -> None:
    result = run("scripts.demo", run_folder, MODE="kafka")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert CLOSING.fullmatch(result.stdout.strip().splitlines()[-1])
    assert "Apache Kafka is up (its own broker)" in result.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({}, "belongs to the bus kafka, not embedded: set RUN_DIR to another folder"),
        ({"BUS_URL": "kafka://127.0.0.1:9"}, "belongs to the bus kafka, not kafka://127.0.0.1:9"),
        ({"MODE": "kafka", "JAVA_HOME": "/nowhere"}, "Java is missing: install Java 17"),
    ],
)
def test_what_does_not_fit_the_state_or_the_machine_is_one_line(
    run_folder: Path, setting: dict[str, str], said: str
) -> None:
    result = run("scripts.dev", run_folder, **setting)
    assert result.returncode == 1
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    assert len(lines) == 1, result.stdout + result.stderr
    assert lines[0].startswith("Cannot start: ")
    assert said in lines[0]
    assert "Traceback" not in result.stdout + result.stderr


def test_a_second_supervisor_leaves_the_first_alone(network: Network) -> None:
    before = network.endpoints
    result = run("scripts.dev", network.run_folder, MODE="kafka")
    assert result.returncode == 1
    assert f"runs already (pid {network.process.pid})" in result.stdout
    assert network.endpoints == before


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
            work = [asyncio.create_task(one.work_until(done, pause_seconds=0.5)) for one in engagements]
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
    await check_all(world.network.endpoints, world.http, heads=world.heads)


async def ends_of(network: Network) -> dict[TopicPartition, int]:
    """Where the log ends now; waits for a broker that is on its way back."""

    async def ends() -> dict[TopicPartition, int] | None:
        async with bus_of(network) as bus:
            with contextlib.suppress(BusUnavailable):
                return await bus.end_offsets(TOPICS)
        return None

    found: dict[TopicPartition, int] = await eventually("the brokers answer", ends, seconds=60)
    return found


async def has_handled(network: Network, group: str, ends: dict[TopicPartition, int]) -> bool:
    """True once the group's stored positions are at these ends."""
    rows = await rows_of(
        network.endpoints, group, "SELECT topic, partition, position FROM positions WHERE consumer_group = $1", group
    )
    reached = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    topics = {"jobs": jobs_subscriptions, "rewards": rewards_subscriptions}[group].topics()
    return all(reached.get(at, 0) >= end for at, end in ends.items() if at.topic in topics)


async def handles_what_comes(world: World, group: str, seconds: float = 90.0) -> None:
    """Wait until the group has handled what is on the bus now, after one more payment of everybody."""
    await world.still_paying()
    ends = await ends_of(world.network)
    await eventually(f"{group} handles what came", lambda: has_handled(world.network, group, ends), seconds=seconds)


async def broker_is_back(network: Network, before: int) -> None:
    async def is_another() -> bool:
        return bool(network.endpoints["infrastructure"]["kafka"] != before)

    await eventually("the broker is started again", is_another, seconds=60)


async def break_the_broker(world: World) -> None:
    """Kill it, let it hang for 20 s, stop it in order: each time the network goes on by itself."""
    network = world.network
    for fault in (network.kill_dependency, network.restart_dependency):
        before = network.endpoints["infrastructure"]["kafka"]
        fault("kafka")
        await broker_is_back(network, before)
        await handles_what_comes(world, "rewards")
    network.freeze("kafka")
    try:
        await asyncio.sleep(FREEZE_SECONDS)
        await world.still_paying()  # what members do does not wait for the bus
    finally:
        network.thaw("kafka")
    await handles_what_comes(world, "rewards")


async def stop_one_and_let_it_go_on(world: World, second: Replicas) -> None:
    """The first rewards service is stopped until the second has taken over its partitions, then goes on as if
    nothing had been."""
    with frozen(world.network.endpoints["pids"]["rewards"]):
        await handles_what_comes(world, "rewards", seconds=120)
    await handles_what_comes(world, "rewards")
    assert (await consumed(world.http, second.processes["rewards"].url)).get("done", 0) > 0


async def test_nothing_is_lost_or_doubled_while_brokers_and_services_come_and_go(network: Network) -> None:
    async with at_work(network) as world, second_set(network, world.http) as second:
        await second.come()
        await break_the_broker(world)
        await stop_one_and_let_it_go_on(world, second)
        await second.go()
        await handles_what_comes(world, "rewards")
        await second.come()
        second.die()
        await handles_what_comes(world, "rewards")
    assert world.paid > 10 * ENGAGEMENTS


async def state_of(network: Network) -> dict[str, Any]:
    """A digest of every table that a replay could change."""
    found = {}
    for service, tables in KEPT.items():
        for table in tables:
            query = f"SELECT count(*), md5(coalesce(string_agg(row::text, '' ORDER BY row::text), '')) FROM {table} row"
            found[f"{service}.{table}"] = tuple((await rows_of(network.endpoints, service, query))[0])
    return found


async def test_a_replay_of_all_topics_changes_nothing(network: Network) -> None:
    before, ends = await state_of(network), await ends_of(network)
    pids = network.endpoints["pids"]
    for group in KEPT:
        await rows_of(network.endpoints, group, "UPDATE positions SET position = 0")
        network.kill(group)
    for group in KEPT:
        await eventually(
            f"{group} has read all again", lambda group=group: has_handled(network, group, ends), seconds=120
        )
    assert all(network.endpoints["pids"][group] != pids[group] for group in KEPT)
    assert await state_of(network) == before
    async with HttpClient(timeout_seconds=10.0) as http:
        for group, subscriptions in (("jobs", jobs_subscriptions), ("rewards", rewards_subscriptions)):
            seen = await consumed(http, network.endpoints["services"][group])
            replayed = sum(end for at, end in ends.items() if at.topic in subscriptions.topics())
            assert sum(seen.values()) == replayed, seen
            assert "done" not in seen
        await check_all(network.endpoints, http)
