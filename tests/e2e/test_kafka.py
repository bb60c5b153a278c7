"""The main job on Apache Kafka: the demo, the same state again, and a network that keeps its word through faults."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chassis.http import HttpClient
from tests.e2e.invariants import check_all, rows_of
from tests.e2e.load import (
    ENGAGEMENTS,
    SUBSCRIPTIONS,
    World,
    at_work,
    broker_is_back,
    ends_of,
    handles_what_comes,
    reaches,
)
from tests.e2e.network import CLOSING, ROOT, Network, environment, free_port
from tests.e2e.replicas import Replicas, consumed, frozen, second_set

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]

FREEZE_SECONDS = 20.0
KEPT = {
    "identity": ("feed_entries", "feed_heads", "members", "sessions"),
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


async def break_the_broker(world: World) -> None:
    """Kill it, let it hang for 20 s, stop it in order: each time the network goes on by itself."""
    network = world.network
    for fault in (network.kill_dependency, network.restart_dependency):
        before = network.endpoints["infrastructure"]["kafka"]
        fault("kafka")
        await broker_is_back(network, "kafka", before)
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
        await handles_what_comes(world, "rewards")
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
    async with at_work(network) as world:
        await world.still_paying()
    before, ends = await state_of(network), await ends_of(network)
    pids = network.endpoints["pids"]
    for group in KEPT:
        await rows_of(network.endpoints, group, "UPDATE positions SET position = 0")
        network.kill(group)
    for group in KEPT:
        await reaches(network, group, ends)
    assert all(network.endpoints["pids"][group] != pids[group] for group in KEPT)
    assert await state_of(network) == before
    async with HttpClient(timeout_seconds=10.0) as http:
        for group, subscriptions in SUBSCRIPTIONS.items():
            seen = await consumed(http, network.endpoints["services"][group])
            replayed = sum(end for at, end in ends.items() if at.topic in subscriptions.topics())
            assert sum(seen.values()) >= replayed, seen
            assert "done" not in seen
            assert replayed > 100 or group == "jobs"  # to which only a change of parameters matters
        await check_all(network.endpoints, http)
