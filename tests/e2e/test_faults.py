"""Whatever one process or dependency does in the middle of the story, the balances are the same."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from chassis.http import HttpClient
from scripts.api import Api
from scripts.story import Story
from tests.e2e.network import BOTH_MODES, Network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PROCESSES = ("identity", "jobs", "rewards", "governance", "gateway")


@pytest.fixture(scope="module", params=BOTH_MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """On either bus."""
    return str(request.param)


@asynccontextmanager
async def story_of(network: Network) -> AsyncIterator[Story]:
    told = network.endpoints
    async with HttpClient(timeout_seconds=10.0) as http:
        api = Api(told["gateway"], http, patience_seconds=120)
        yield Story(api, told["rpc"], told["contracts"]["btrst"], print)


async def play_under(network: Network, fault: Callable[[], Coroutine[Any, Any, None]], *, stories: int = 1) -> None:
    """So many stories side by side, with `fault` going on from the start."""
    async with AsyncExitStack() as stack:
        told = [await stack.enter_async_context(story_of(network)) for _ in range(stories)]
        trouble = asyncio.create_task(fault())
        try:
            await asyncio.gather(*(story.play() for story in told))
            await trouble
        finally:
            trouble.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trouble


async def test_kill_each_process_again_and_again(network: Network) -> None:
    """Three stories at different moments; each of the five processes dies three times in a random order."""
    dice = random.Random("kill")
    victims = [name for _ in range(3) for name in dice.sample(PROCESSES, k=len(PROCESSES))]

    async def killer() -> None:
        for name in victims:
            await asyncio.sleep(dice.uniform(2.0, 4.0))
            network.kill(name)

    before = network.endpoints["pids"]
    await play_under(network, killer, stories=3)
    after = network.endpoints["pids"]
    assert {name for name in PROCESSES if before[name] != after[name]} == set(PROCESSES)


@pytest.mark.parametrize("name", ["anvil", "postgres"])
async def test_a_dependency_is_away_for_20_seconds(network: Network, name: str) -> None:
    async def freezer() -> None:
        await asyncio.sleep(3.0)
        network.freeze(name)
        try:
            await asyncio.sleep(20.0)
        finally:
            network.thaw(name)

    await play_under(network, freezer)


@pytest.mark.parametrize("name", ["anvil", "postgres"])
async def test_kill_a_dependency(network: Network, name: str) -> None:
    """The supervisor starts it again; a node that lost its last blocks is told the same transactions again."""

    async def killer() -> None:
        await asyncio.sleep(8.0)
        network.kill_dependency(name)

    await play_under(network, killer)
