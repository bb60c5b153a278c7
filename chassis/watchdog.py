"""Notices a consumer that stands still in front of events."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection

from chassis.bus import Bus, BusUnavailable, Member, Positions, TopicPartition


class Watchdog:
    """Compares how far the group is with the ends of its partitions, every few seconds."""

    def __init__(
        self, bus: Bus, topics: Collection[str], stall_seconds: float, report_lag: Callable[[str, int], object]
    ) -> None:
        self.member: Member | None = None
        self.reached: dict[TopicPartition, int] = {}
        self._bus = bus
        self._topics = list(topics)
        self._stall_seconds = stall_seconds
        self._report_lag = report_lag
        self._behind = 0
        self._moved_at = time.monotonic()

    def moved(self, positions: Positions) -> None:
        """The group is at these positions now."""
        self.reached.update(positions)
        self._moved_at = time.monotonic()

    def healthy(self) -> bool:
        """False when events wait and none was handled for the time that counts as a stall."""
        return not self._behind or time.monotonic() - self._moved_at < self._stall_seconds

    async def run(self) -> None:
        """Measure until cancelled. A bus that does not answer proves nothing about the consumer."""
        while True:
            await asyncio.sleep(min(5.0, self._stall_seconds / 4))
            with contextlib.suppress(BusUnavailable):
                await self.measure()

    async def measure(self) -> None:
        """Look at the ends once. Raises: BusUnavailable."""
        if self.member is None:
            return
        assigned = self.member.assignment()
        ends = await self._bus.end_offsets(self._topics)
        behind = dict.fromkeys(self._topics, 0)
        for at in assigned & ends.keys():
            behind[at.topic] += max(0, ends[at] - self.reached.get(at, 0))
        for topic, events in behind.items():
            self._report_lag(topic, events)
        self._behind = sum(behind.values())
        if not self._behind:
            self._moved_at = time.monotonic()
