"""200 transactions, each event told three times in shuffled order, a process killed every 3 s: exact to the wei."""

import asyncio
import random
import time
from collections import Counter

import pytest

from chassis.http import HttpClient
from scripts.api import Api, eventually
from tests.e2e.invariants import HeadWatch, Node, check_all, copies_of
from tests.e2e.network import BOTH_MODES, Network
from tests.e2e.storm import PROCESSES, STORM_SECONDS, Echo, bus_of, kill_every, watch_head
from tests.e2e.work import (
    SEED,
    all_owed,
    at_rest,
    audited,
    during,
    engage,
    everything_read,
    exact,
    meet,
    minted,
    verify_rewards,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENGAGEMENTS = 10
INVOICES = 20
KILL_SECONDS = 3.0


@pytest.fixture(scope="module", params=BOTH_MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """On either bus."""
    return str(request.param)


async def test_storm(network: Network) -> None:
    dice, heads, killed = random.Random(SEED), HeadWatch(), Counter[str]()
    told = network.endpoints
    async with HttpClient(timeout_seconds=10.0) as http, bus_of(network) as bus:
        api = Api(told["gateway"], http, patience_seconds=180)
        node = Node(told["rpc"], http)
        connectors = await meet(api)
        engagements = list(await asyncio.gather(*(engage(api, n, connectors) for n in range(ENGAGEMENTS))))
        echo = Echo(bus, dice)
        async with during(echo.follow(), watch_head(node, heads)):
            began = time.monotonic()
            async with during(kill_every(network, KILL_SECONDS, dice, killed)):
                await asyncio.gather(*(engagement.work(INVOICES) for engagement in engagements))
                expected = all_owed(engagements)
                total = sum(wei for _, wei in expected.values())
                await eventually("all is minted", lambda: minted(node, told, total), seconds=240, every=0.5)
                lasted = min(STORM_SECONDS, time.monotonic() - began)
            await eventually("all is told three times", lambda: at_rest(api, echo, total), seconds=60, every=0.5)
        await echo.rest()
        await eventually("all is buried", lambda: audited(api, total), seconds=60)
        await eventually("all is read", lambda: everything_read(network), seconds=60, every=0.5)
        await exact(network, http, expected, connectors)
        seen = await check_all(network.endpoints, http, heads=heads)
        verified = await asyncio.to_thread(verify_rewards, told)
    times = [count for topic in seen.log if not topic.endswith(".dlq") for count in copies_of(seen, topic).values()]
    paid = f"{len(expected)} rewards of {ENGAGEMENTS * INVOICES} transactions"
    print(f"{paid}, {killed.total()} kills in {lasted:.0f} s: {dict(killed)}")
    assert verified.returncode == 0, verified.stdout
    assert f" {len(expected)} rewards, {total} wei, " in verified.stdout.splitlines()[-1]
    assert min(times) >= 3
    assert len([one for one in engagements for _ in one.paid]) == ENGAGEMENTS * INVOICES
    assert set(killed) == set(PROCESSES), f"too short to kill them all: {killed}"
    assert killed.total() >= lasted / KILL_SECONDS - 2, f"{killed} in {lasted:.0f} s"
