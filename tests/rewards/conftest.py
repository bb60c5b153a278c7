"""Fixtures of the rewards tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.testing import fresh_database
from tests.rewards.chain_world import Network, PaidWorld
from tests.rewards.world import Neighbours, Story, World


@pytest.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    """Identity and jobs, as far as rewards asks them."""
    async with Neighbours().serving() as serving:
        yield serving


@pytest.fixture
async def world(postgres_dsn: str, neighbours: Neighbours) -> AsyncIterator[World]:
    """The rewards service without a chain, on a database of its own."""
    async with fresh_database(postgres_dsn, "services/rewards/migrations") as dsn:
        made = World(dsn, neighbours)
        await made.open()
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture
def story(world: World) -> Story:
    """The people of one transaction."""
    return Story(world)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """A node with the contracts."""
    made = Network(tmp_path / "chain")
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def paid(postgres_dsn: str, neighbours: Neighbours, network: Network) -> AsyncIterator[PaidWorld]:
    """The rewards service with a chain to pay on."""
    async with fresh_database(postgres_dsn, "services/rewards/migrations") as dsn:
        made = PaidWorld(dsn, neighbours, network)
        await made.open()
        try:
            await made.follow()
            yield made
        finally:
            await made.close()


@pytest.fixture
def paid_story(paid: PaidWorld) -> Story:
    """The people of one transaction, on a chain."""
    return Story(paid)
