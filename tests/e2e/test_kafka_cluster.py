"""Three brokers: the network goes on while any one of them is away, and nothing is lost or doubled."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.load import ENGAGEMENTS, at_work, broker_is_back, handles_what_comes
from tests.e2e.network import Network, start

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]

BROKERS = ("kafka", "kafka-2", "kafka-3")
FREEZE_SECONDS = 20.0


@pytest.fixture(scope="module")
def network(run_folder: Path) -> Iterator[Network]:
    """The network on a cluster of its own."""
    running = start(run_folder, MODE="kafka", KAFKA_BROKERS="3")
    yield running
    assert running.stop() == 0


async def test_any_one_broker_may_be_away(network: Network) -> None:
    async with at_work(network) as world:
        assert len(network.endpoints["kafka"].split(",")) == len(BROKERS)
        for name in BROKERS:
            for fault in (network.kill_dependency, network.restart_dependency):
                before = network.endpoints["infrastructure"][name]
                fault(name)
                await broker_is_back(network, name, before)
                await handles_what_comes(world, "rewards")
            network.freeze(name)
            try:
                frozen_until = asyncio.get_running_loop().time() + FREEZE_SECONDS
                await handles_what_comes(world, "rewards")  # by the two that are left
                await asyncio.sleep(frozen_until - asyncio.get_running_loop().time())
            finally:
                network.thaw(name)
            await handles_what_comes(world, "rewards")
    assert world.paid > 10 * ENGAGEMENTS
