"""The bus in memory: for unit tests of one process. It keeps the same contract as the others, but no data."""

import asyncio
import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from chassis.bus import (
    PARTITIONS,
    Delivery,
    Fenced,
    Positions,
    Record,
    StartPositions,
    TopicPartition,
    UnknownTopic,
    check_size,
    check_topic,
    partition_of,
)
from chassis.bus_group import LogMember, PartitionReader, rebalance


@dataclass(slots=True)
class _Group:
    leases: dict[str, float] = field(default_factory=dict)
    claims: dict[TopicPartition, tuple[str, int]] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)


class MemoryBus(PartitionReader):
    """Lists of records, one for each partition."""

    def __init__(self, *, partitions: int = PARTITIONS, lease_seconds: float = 5.0) -> None:
        self.partitions = partitions
        self.lease_seconds = lease_seconds
        self.logs: dict[TopicPartition, list[Record]] = {}
        self.groups: dict[str, _Group] = {}
        self.bells: set[asyncio.Event] = set()
        self._turn = itertools.count()

    async def create_topics(self, topics: Iterable[str]) -> None:
        """See `Bus.create_topics`."""
        for topic in topics:
            check_topic(topic)
            for partition in range(self.partitions):
                self.logs.setdefault(TopicPartition(topic, partition), [])

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`."""
        for record in records:
            check_size(record)
            if TopicPartition(record.topic, 0) not in self.logs:
                raise UnknownTopic(record.topic)
        for record in records:
            keyless = record.key is None
            place = next(self._turn) % self.partitions if keyless else partition_of(record.key or b"", self.partitions)
            self.logs[TopicPartition(record.topic, place)].append(record)
        for bell in self.bells:
            bell.set()

    async def consume(self, group: str, topics: Collection[str], start: StartPositions | None = None) -> "MemoryMember":
        """See `Bus.consume`."""
        member = MemoryMember(self, group, topics, start)
        await member.join()
        return member

    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.end_offsets`."""
        return {at: len(records) for at, records in self.logs.items() if at.topic in topics}

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.committed`."""
        return {at: offset for at, offset in self.group(group).committed.items() if at.topic in topics}

    async def read_from(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        """Up to `limit` records from these positions on."""
        found: list[Delivery] = []
        for at, position in positions.items():
            records = self.logs[at][position : position + limit - len(found)]
            found.extend(Delivery(record, at.partition, position + nth) for nth, record in enumerate(records))
        return found

    def group(self, name: str) -> _Group:
        """The state of a consumer group."""
        return self.groups.setdefault(name, _Group())

    async def ping(self) -> None:
        """See `Bus.ping`: it always answers."""

    async def close(self) -> None:
        """Nothing to let go of."""


class MemoryMember(LogMember):
    """A member of a group on the bus in memory."""

    def __init__(self, bus: MemoryBus, group: str, topics: Collection[str], start: StartPositions | None) -> None:
        super().__init__(group, topics, start, bus.lease_seconds)
        self._bus = bus
        self._id = uuid4().hex
        self._state = bus.group(group)
        bus.bells.add(self.bell)

    async def _claim(self) -> dict[TopicPartition, int]:
        await self._renew()
        state, now = self._state, time.monotonic()
        for dead in [member for member, until in state.leases.items() if until < now]:
            del state.leases[dead]
        holders: dict[TopicPartition, str | None] = {}
        for at in self._bus.logs:
            if at.topic in self.topics:
                holder = state.claims.get(at, ("", 0))[0]
                holders[at] = holder if holder in state.leases else None
        give, take = rebalance(self._id, state.leases, holders)
        for at in give:
            state.claims[at] = ("", state.claims[at][1])
        for at in take:
            state.claims[at] = (self._id, state.claims.get(at, ("", 0))[1] + 1)
        return {at: generation for at, (holder, generation) in state.claims.items() if holder == self._id}

    async def _renew(self) -> None:
        self._state.leases[self._id] = time.monotonic() + self.lease_seconds

    async def _read(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        return await self._bus.read_from(positions, limit)

    async def _ends(self) -> dict[TopicPartition, int]:
        return await self._bus.end_offsets(self.topics)

    async def _committed(self, partitions: Collection[TopicPartition]) -> Positions:
        return {at: self._state.committed.get(at, 0) for at in partitions}

    async def _leave(self) -> None:
        self._bus.bells.discard(self.bell)
        self._state.leases.pop(self._id, None)

    async def commit(self, positions: Positions) -> None:
        """See `Member.commit`."""
        for at in positions:
            if self._state.claims.get(at) != (self._id, self.generations.get(at)):
                self.claim_soon()
                raise Fenced(f"{self.group} lost {at}")
        self._state.committed.update(positions)

    async def abandon(self) -> None:
        """Stop like a killed process does: without a word."""
        await self.stop_heart()
        self._bus.bells.discard(self.bell)
