"""What makes a storm: every event again and again in shuffled order, and a process killed every few seconds."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from chassis.bus import Bus, BusUnavailable, Record, bus_from_url
from events.registry import TOPICS
from tests.e2e.invariants import HeadWatch, Node
from tests.e2e.network import Network

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
        async with asyncio.TaskGroup() as group:
            for topic in TOPICS:
                group.create_task(self._listen(topic))
            group.create_task(self._speak())

    async def _listen(self, topic: str) -> None:
        async for delivery in self.bus.read(topic, start=0, follow=True):
            self.heard.setdefault(json.loads(delivery.record.value or b"{}")["id"], delivery.record)

    async def _speak(self) -> None:
        while True:
            await asyncio.sleep(self.dice.uniform(0.2, 1.0))
            await self.once(share=0.5)

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
    """SIGKILL one process after the other, in an order that `dice` gives, until cancelled."""
    while True:
        for name in dice.sample(PROCESSES, k=len(PROCESSES)):
            await asyncio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                network.kill(name)
                killed[name] += 1


async def watch_head(node: Node, heads: HeadWatch) -> None:
    """Note when the head was at which height, until cancelled."""
    while True:
        asked_at = time.time()
        heads.saw(await node.block_number(), asked_at)
        await asyncio.sleep(0.05)


def bus_of(network: Network) -> Bus:
    """The running network's bus."""
    return bus_from_url(network.endpoints["dsn"]["events"])
