"""Whatever one process or dependency does in the middle of the story, the balances are the same."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chassis.http import HttpClient
from scripts.api import Api
from scripts.story import Story
from tests.e2e.network import Network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PROCESSES = ("identity", "jobs", "rewards", "governance", "gateway")


@asynccontextmanager
async def story_of(network: Network) -> AsyncIterator[Story]:
    told = network.endpoints
    async with HttpClient(timeout_seconds=10.0) as http:
        api = Api(told["gateway"], http, patience_seconds=120)
        yield Story(api, told["rpc"], told["contracts"]["btrst"], print)


async def play_under(network: Network, fault: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The story, with `fault` going on beside it from the start."""
    async with story_of(network) as story:
        trouble = asyncio.create_task(fault())
        try:
            await story.play()
            await trouble
        finally:
            trouble.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trouble


@pytest.mark.parametrize("name", PROCESSES)
async def test_kill_a_process_anywhere_in_the_story(network: Network, name: str) -> None:
    moments = random.Random(f"kill {name}")

    async def killer() -> None:
        for _ in range(3):
            await asyncio.sleep(moments.uniform(0.5, 6.0))
            network.kill(name)
            await asyncio.sleep(3.0)

    await play_under(network, killer)


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
