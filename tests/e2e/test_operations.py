"""Operations on the network with each service split into api and worker: who holds what, one trace, a restore."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from chassis.bus import bus_from_url
from chassis.http import HttpClient
from chassis.testing import eventually
from scripts.api import Api
from scripts.backup import raise_sequences
from scripts.story import Story, difference_wei
from tests.e2e.collector import Collector, Seen, collecting
from tests.e2e.invariants import Node, check_all
from tests.e2e.network import ROOT, Network, bus_url, start

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(500)]
SERVICES = ("identity", "jobs", "rewards", "governance")
PAY = "POST /v1/invoices/{invoice_id}/payments"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def mode() -> str:
    """The bus that deployments have."""
    return "kafka"


@pytest.fixture(scope="module")
def network(run_folder: Path, collector: Collector, mode: str) -> Iterator[Network]:
    """The network in api and worker processes, which tell the collector of their spans."""
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "300"}
    running = start(run_folder, MODE=mode, ROLES="split", **more)
    yield running
    assert running.stop() == 0


@pytest.fixture
async def story(network: Network) -> AsyncIterator[Story]:
    async with HttpClient(timeout_seconds=30.0) as http:
        endpoints = network.endpoints
        api = Api(endpoints["gateway"], http)
        made = Story(api, endpoints["rpc"], endpoints["contracts"]["btrst"], lambda text: None)
        await made.people()
        await made.hire()
        made.transaction = await made.invoice_and_pay()
        await made.minted()
        yield made


async def test_one_transaction_is_one_trace(collector: Collector, story: Story) -> None:
    tx_hash = story.rewards[0]["chain_tx_hash"]
    found: list[Seen] = []

    async def is_whole() -> bool:
        traces = {span.trace_id for span in collector.spans if is_about(span, tx_hash)}
        found[:] = [span for trace in traces for span in collector.trace(trace)]
        return len(traces) == 1 and not missing_in(found, tx_hash)

    try:
        await eventually(is_whole, seconds=60)
    except AssertionError as error:
        raise AssertionError(f"missing: {missing_in(found, tx_hash)} in {found}") from error
    assert [span.service for span in found if not span.parent_id] == ["gateway"]
    assert {span.parent_id for span in found if span.parent_id} <= {span.span_id for span in found}


def is_about(span: Seen, tx_hash: str) -> bool:
    return bool(span.attributes.get("btrst.chain.tx_hash") == tx_hash)


def missing_in(spans: list[Seen], tx_hash: str) -> list[str]:
    """What one transaction's trace has to hold, and this one does not."""
    wanted = {
        ("gateway", PAY),
        ("jobs", PAY),
        ("jobs", "create jobs.transaction"),
        ("jobs", "send jobs.transaction"),
        ("rewards", "process jobs.transaction"),
        ("rewards", "accrue transaction"),
        ("rewards", "reserve settlement"),
        ("rewards", "create rewards.reward"),
        ("rewards", "send rewards.reward"),
    }
    missing = [f"{service}: {name}" for service, name in sorted(wanted - {(span.service, span.name) for span in spans})]
    settled = {span.name for span in spans if is_about(span, tx_hash)}
    missing += sorted({"chain sign", "eth_sendRawTransaction", "chain confirm"} - settled)
    told = {span.attributes.get("btrst.event.type") for span in spans}
    return missing + sorted({"rewards.reward.accrued.v1", "rewards.reward.minted.v1"} - told)


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def test_the_roles_are_split(network: Network) -> None:
    """An api process has no signer's key and does no background work; a worker has no API."""
    endpoints = network.endpoints
    async with HttpClient(timeout_seconds=30.0) as http:
        for name in SERVICES:
            api, worker = (endpoints["metrics"][each].removesuffix("/metrics") for each in (name, f"{name}-worker"))
            told = (await http.get_json(f"{api}/metrics")).body.decode()
            assert "btrst_worker_runs_total{" not in told, name
            assert "btrst_consumer_partitions{" not in told, name
            assert "btrst_worker_runs_total{" in (await http.get_json(f"{worker}/metrics")).body.decode()
            assert (await http.get_json(f"{worker}/healthz")).status == 200
            for path in ("/v1/jobs", "/v1/token", "/v1/parameters", "/internal/revocations"):
                assert (await http.get_json(worker + path)).status == 404, (name, path)
            environment = environment_of(endpoints["pids"][name])
            assert environment["ROLE"] == "api"
            assert not [key for key in environment if "SIGNER_KEY" in key]
    assert "REWARDS_SIGNER_KEY_FILE" in environment_of(endpoints["pids"]["rewards-worker"])


def backup(network: Network, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.backup", *arguments],
        cwd=ROOT,
        env={**os.environ, "RUN_DIR": str(network.run_folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_an_old_copy_of_the_rewards_database_is_restored(network: Network, story: Story, tmp_path: Path) -> None:
    """P16 by the operator's own commands: nothing is minted twice, what was forgotten comes back."""
    backup(network, "save", str(tmp_path))
    assert backup(network, "list", str(tmp_path)).count(".dump ") == len(SERVICES)
    await pay_again(story, 2)
    said = backup(network, "restore", str(tmp_path), "rewards")
    assert said.startswith("restored btrst_rewards from ")
    for name in ("rewards", "rewards-worker"):
        network.kill(name)
    await eventually(lambda: minted(story, 2), seconds=90)
    assert await balances(story) == [40 * 10**18] * 2
    await pay_again(story, 3)
    assert await balances(story) == [60 * 10**18] * 2
    node = Node(network.endpoints["rpc"], story.api.http)
    assert await difference_wei(story.api, await node.block_number("finalized")) == 0
    await invariants_hold(network, story)
    bus = bus_from_url(bus_url(network.endpoints))
    assert await raise_sequences(network.endpoints["dsn"]["rewards"], "rewards", bus) == 0
    await bus.close()


async def test_all_four_databases_are_restored_while_the_network_runs(
    network: Network, story: Story, tmp_path: Path
) -> None:
    """What members did after the copy is lost in jobs; what was minted for it stays minted, and once."""
    backup(network, "save", str(tmp_path))
    known = await transactions_of_jobs(network)
    await pay_again(story, 2)
    said = backup(network, "restore", str(tmp_path), "all")
    assert said.count("restored btrst_") == len(SERVICES)
    for name in SERVICES:
        network.kill(name)
        network.kill(f"{name}-worker")
    await eventually(lambda: minted(story, 2), seconds=90)
    assert await transactions_of_jobs(network) == known
    assert await balances(story) == [40 * 10**18] * 2
    await pay_again(story, 3)
    assert await balances(story) == [60 * 10**18] * 2
    node = Node(network.endpoints["rpc"], story.api.http)
    assert await difference_wei(story.api, await node.block_number("finalized")) == 0
    await invariants_hold(network, story, jobs_has_all=False)


async def transactions_of_jobs(network: Network) -> int:
    connection = await asyncpg.connect(network.endpoints["dsn"]["jobs"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM transactions"))
    finally:
        await connection.close()


async def invariants_hold(network: Network, story: Story, *, jobs_has_all: bool = True) -> None:
    """I1 to I8, as soon as the network has come to rest."""
    deadline = time.monotonic() + 60
    while True:
        try:
            await check_all(network.endpoints, story.api.http, jobs_has_all=jobs_has_all)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1)


async def pay_again(story: Story, count: int) -> None:
    await story.invoice_and_pay()
    await eventually(lambda: minted(story, count), seconds=90)


async def minted(story: Story, count: int) -> bool:
    """Each connector has that many rewards, all of them minted."""
    for person in (story.ada, story.ben):
        answer = await story.api.patiently("GET", "/v1/rewards?limit=100", token=await person.token())
        if answer.status != 200:  # the databases change places
            return False
        if [reward["status"] for reward in answer.json()["items"]] != ["minted"] * count:
            return False
    return True


async def balances(story: Story) -> list[int]:
    return [await story.balance_of(person) for person in (story.ada, story.ben)]
