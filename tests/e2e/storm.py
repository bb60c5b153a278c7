"""What makes a storm: every event again and again in shuffled order, and a process killed every few seconds."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chassis.bus import Bus, BusUnavailable, Record, bus_from_url
from events.registry import TOPICS
from tests.e2e.invariants import HeadWatch, Node
from tests.e2e.network import Network, bus_url

STORM_SECONDS = 60.0
PROCESSES = ("identity", "jobs", "rewards", "governance", "gateway")


@dataclass(slots=True)
class Echo:
    """Publishes every event twice more, the very bytes and key, later and in another order."""

    bus: Bus
    dice: random.Random
    heard: dict[str, Record] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)

    async def follow(self) -> None:
        """Echo what comes until cancelled."""
        member = await self.bus.consume("echo", TOPICS)
        try:
            while True:
                for delivery in await member.fetch(max_records=500, timeout_seconds=0.5):
                    event = json.loads(delivery.record.value or b"{}")["id"]
                    self.heard.setdefault(event, delivery.record)
                await self.once(share=0.5)
                await asyncio.sleep(self.dice.uniform(0.2, 1.0))
        finally:
            await member.close()

    async def once(self, share: float = 1.0) -> None:
        """Publish a random share of what is still to be told, shuffled over all topics and keys."""
        due = [event for event in self.heard for _ in range(2 - self.told[event])]
        chosen = self.dice.sample(due, k=int(len(due) * share + 0.5))
        for at in range(0, len(chosen), 200):
            batch = chosen[at : at + 200]
            with contextlib.suppress(BusUnavailable):
                await self.bus.publish([self.heard[event] for event in batch])
                self.told.update(batch)

    async def rest(self) -> None:
        """Tell what is left, until every event was told three times."""
        while any(self.told[event] < 2 for event in self.heard):
            await self.once()


async def kill_every(network: Network, seconds: float, dice: random.Random, killed: Counter[str]) -> None:
    """SIGKILL a process every few seconds, for as long as a storm lasts or until cancelled: one of those that serve,
    the least often killed first; while none serves, one that is still starting."""
    began = time.monotonic()
    for beat in range(1, int(STORM_SECONDS / seconds) + 1):
        await asyncio.sleep(max(0.0, began + beat * seconds - time.monotonic()))
        shuffled = dice.sample(PROCESSES, k=len(PROCESSES))
        serving = await asyncio.gather(*(_serves(network, name) for name in shuffled))
        up = [name for name, serves in zip(shuffled, serving, strict=True) if serves]
        for name in sorted(up or shuffled, key=killed.__getitem__):
            with contextlib.suppress(ProcessLookupError):  # dead already, its next life not yet begun
                network.kill(name)
                killed[name] += 1
                break


async def _serves(network: Network, name: str) -> bool:
    told = network.endpoints
    url = urlsplit(told["gateway"] if name == "gateway" else told["services"][name])
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return True


async def watch_head(node: Node, heads: HeadWatch) -> None:
    """Note when the head was at which height, until cancelled."""
    while True:
        asked_at = time.time()
        heads.saw(await node.block_number(), asked_at)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def bus_of(network: Network) -> AsyncIterator[Bus]:
    """The running network's bus."""
    bus = bus_from_url(bus_url(network.endpoints))
    try:
        yield bus
    finally:
        await bus.close()
