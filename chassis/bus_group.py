"""What every log-shaped bus shares: how a member reads its partitions, and how many of them are its share."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping

from chassis.bus import BusUnavailable, Delivery, Fenced, Positions, StartPositions, TopicPartition
from chassis.telemetry import log

POLL_SECONDS = 0.1
"""How long a ring of the bell may be lost."""


def share_of(member: str, members: Collection[str], partitions: int) -> int:
    """How many of the partitions are `member`'s fair share: they differ by one at most, and add up to all."""
    ranked = sorted(members)
    whole, rest = divmod(partitions, len(ranked))
    return whole + (ranked.index(member) < rest)


def rebalance(
    member: str,
    members: Collection[str],
    holders: Mapping[TopicPartition, str | None],
) -> tuple[list[TopicPartition], list[TopicPartition]]:
    """What `member` should give up and what it should take, given who holds each partition (None: nobody alive)."""
    mine = sorted(at for at, holder in holders.items() if holder == member)
    free = sorted(at for at, holder in holders.items() if holder is None)
    share = share_of(member, members, len(holders))
    return mine[share:], free[: max(0, share - len(mine))]


class LogMember(ABC):
    """A member of a group on a log: it claims partitions, reads them from their positions, and keeps its lease.

    A subclass knows where claims and records are kept.
    """

    def __init__(self, group: str, topics: Collection[str], start: StartPositions | None, lease_seconds: float) -> None:
        self.group = group
        self.topics = list(topics)
        self.lease_seconds = lease_seconds
        self.bell = asyncio.Event()
        self.generations: dict[TopicPartition, int] = {}
        self._start = start or self._committed
        self._next: dict[TopicPartition, int] = {}
        self._untold: dict[TopicPartition, int] = {}
        """Where it began, as long as the group's commits may say otherwise."""
        self._claim_at = 0.0
        self._heart: asyncio.Task[None] | None = None

    @abstractmethod
    async def _claim(self) -> dict[TopicPartition, int]:
        """Renew the membership, move towards the fair share; the partitions held, with their generations."""

    @abstractmethod
    async def _renew(self) -> None:
        """Prolong the lease."""

    @abstractmethod
    async def _read(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        """Up to `limit` records from these positions on."""

    @abstractmethod
    async def _ends(self) -> dict[TopicPartition, int]:
        """The end of every partition of the topics."""

    @abstractmethod
    async def _committed(self, partitions: Collection[TopicPartition]) -> Positions:
        """Where the group last committed."""

    @abstractmethod
    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Member.commit`."""

    @abstractmethod
    async def _leave(self) -> None:
        """Give up membership and partitions."""

    async def join(self) -> None:
        """Become a member and start the heartbeat."""
        await self._assign()
        self._heart = asyncio.create_task(self._beat())

    def claim_soon(self) -> None:
        """Look at the claims at the next fetch: somebody came or went."""
        self._claim_at = 0.0
        self.bell.set()

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this member reads now."""
        return frozenset(self._next)

    async def fetch(self, *, max_records: int, timeout_seconds: float) -> list[Delivery]:
        """Records from the partitions held; see `Member.fetch`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self.bell.clear()
            if time.monotonic() >= self._claim_at:
                await self._assign()
            found = await self._read(self._next, max_records) if self._next else []
            for delivery in found:
                self._next[delivery.at] = delivery.offset + 1
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.bell.wait(), min(POLL_SECONDS, left))

    async def _assign(self) -> None:
        held = await self._claim()
        gained = [at for at, generation in held.items() if self.generations.get(at) != generation]
        starts = await self._starts(gained) if gained else {}
        self._next = {at: starts.get(at, self._next.get(at, 0)) for at in held}
        self.generations = held
        self._claim_at = time.monotonic() + self.lease_seconds / 5
        self._untold = {
            at: position for at, position in {**self._untold, **starts}.items() if self._next.get(at) == position
        }
        await self._tell_where()

    async def _tell_where(self) -> None:
        """Commit where it begins, where the group's last commit says otherwise: whoever held the partition before may
        have ended between handling events and committing them, and if none comes after, nobody else would do it."""
        if not self._untold:
            return
        with contextlib.suppress(Fenced, BusUnavailable):  # the next look at the claims tries again
            known = await self._committed(self._untold)
            if differing := {at: position for at, position in self._untold.items() if known.get(at, 0) != position}:
                await self.commit(differing)
            self._untold = {}

    async def _starts(self, gained: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to begin. A position beyond the end was made on another log: then everything is new again."""
        wanted, ends = await self._start(gained), await self._ends()
        starts = {at: wanted.get(at, 0) for at in gained}
        for at, position in starts.items():
            if position > ends.get(at, 0):
                log.warning("position_beyond_end", group=self.group, at=str(at), position=position, end=ends.get(at))
                starts[at] = 0
        return starts

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            try:
                await self._renew()
            except Exception as error:  # the next beat may come through; if none does, the lease ends
                log.info("heartbeat_missed", group=self.group, error=repr(error)[:300])

    async def close(self) -> None:
        """Leave the group; its partitions are free at once."""
        await self.stop_heart()
        with contextlib.suppress(BusUnavailable):
            await self._leave()

    async def stop_heart(self) -> None:
        """No more heartbeats: what is left is what a dead process leaves behind."""
        if self._heart is not None:
            self._heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._heart
            self._heart = None


class PartitionReader(ABC):
    """Reading a topic outside any group, on top of what a log can do anyway."""

    @abstractmethod
    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.end_offsets`."""

    @abstractmethod
    async def read_from(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        """Up to `limit` records from these positions on."""

    async def read(self, topic: str, *, start: int | None, follow: bool) -> AsyncIterator[Delivery]:
        """See `Bus.read`."""
        positions: dict[TopicPartition, int] = {}
        first = True
        while True:
            try:
                for at, end in (await self.end_offsets([topic])).items():
                    # A topic created while we wait is new as a whole.
                    positions.setdefault(at, start if start is not None else end if first else 0)
                found = await self.read_from(positions, 500) if positions else []
            except BusUnavailable:
                if first or not follow:
                    raise
                found = []
            first = False
            for delivery in found:
                positions[delivery.at] = delivery.offset + 1
                yield delivery
            if not found and not follow:
                return
            if not found:
                await asyncio.sleep(POLL_SECONDS)
