"""A part of the run's broker for one test: every topic and group gets a prefix of the test's own.

All tests share one broker, and know the same topic; none of them may see the events of another.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from chassis.bus import Delivery, Positions, Record, StartPositions, TopicPartition
from chassis.bus_kafka import KafkaBus, KafkaMember, Timing
from chassis.ids import new_id
from chassis.settings import KafkaSettings

FAST = Timing(
    session_seconds=6.0,
    heartbeat_seconds=0.3,
    drain_seconds=4.0,
    join_seconds=4.5,
    request_seconds=5.0,
    publish_seconds=10.0,
    metadata_seconds=1.0,
    stall_seconds=6.0,
)
"""Sessions end soon. The broker must allow it: group.min.session.timeout.ms."""


class PrivateMember:
    """A member whose topics have a prefix that it does not show."""

    def __init__(self, inner: KafkaMember, prefix: str) -> None:
        self.inner = inner
        self._prefix = prefix

    async def fetch(self, *, max_records: int, timeout_seconds: float) -> list[Delivery]:
        """See `Member.fetch`."""
        found = await self.inner.fetch(max_records=max_records, timeout_seconds=timeout_seconds)
        return [_shown(delivery, self._prefix) for delivery in found]

    async def commit(self, positions: Positions) -> None:
        """See `Member.commit`."""
        await self.inner.commit(_hidden(positions, self._prefix))

    def assignment(self) -> frozenset[TopicPartition]:
        """See `Member.assignment`."""
        return frozenset(_stripped(dict.fromkeys(self.inner.assignment(), 0), self._prefix))

    async def close(self) -> None:
        """See `Member.close`."""
        await self.inner.close()

    async def abandon(self) -> None:
        """See `KafkaMember.abandon`."""
        await self.inner.abandon()


class PrivateKafka:
    """The bus on Kafka, with `prefix` before the name of every topic and group."""

    def __init__(self, bootstrap: str, prefix: str, *, timing: Timing = FAST) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.inner = KafkaBus(f"kafka://{bootstrap}", KafkaSettings(), timing=timing)

    @property
    def dsn(self) -> str:
        """What names this part of the broker to another process."""
        return f"kafka://{self.bootstrap}/{self.prefix}"

    async def create_topics(self, topics: Iterable[str]) -> None:
        """See `Bus.create_topics`."""
        await self.inner.create_topics([self.prefix + topic for topic in topics])

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`."""
        await self.inner.publish([record._replace(topic=self.prefix + record.topic) for record in records])

    async def consume(self, group: str, topics: Collection[str], start: StartPositions | None = None) -> PrivateMember:
        """See `Bus.consume`."""
        hidden = None
        if start is not None:

            async def hidden(partitions: Collection[TopicPartition]) -> Positions:
                shown = _stripped(dict.fromkeys(partitions, 0), self.prefix)
                return _hidden(await start(list(shown)), self.prefix)

        topics = [self.prefix + topic for topic in topics]
        return PrivateMember(await self.inner.consume(self.prefix + group, topics, hidden), self.prefix)

    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.end_offsets`."""
        return _stripped(await self.inner.end_offsets([self.prefix + topic for topic in topics]), self.prefix)

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.committed`."""
        found = await self.inner.committed(self.prefix + group, [self.prefix + topic for topic in topics])
        return _stripped(found, self.prefix)

    async def read(self, topic: str, *, start: int | None, follow: bool) -> AsyncIterator[Delivery]:
        """See `Bus.read`."""
        async for delivery in self.inner.read(self.prefix + topic, start=start, follow=follow):
            yield _shown(delivery, self.prefix)

    async def ping(self) -> None:
        """See `Bus.ping`."""
        await self.inner.ping()

    async def close(self) -> None:
        """See `Bus.close`."""
        await self.inner.close()


def _shown(delivery: Delivery, prefix: str) -> Delivery:
    return delivery._replace(record=delivery.record._replace(topic=delivery.record.topic.removeprefix(prefix)))


def _stripped(positions: Mapping[TopicPartition, int], prefix: str) -> dict[TopicPartition, int]:
    return {TopicPartition(at.topic.removeprefix(prefix), at.partition): n for at, n in positions.items()}


def _hidden(positions: Positions, prefix: str) -> dict[TopicPartition, int]:
    return {TopicPartition(prefix + at.topic, at.partition): n for at, n in positions.items()}


@asynccontextmanager
async def private_kafka(bootstrap: str, *, timing: Timing = FAST) -> AsyncIterator[PrivateKafka]:
    """A bus that nobody else sees."""
    bus = PrivateKafka(bootstrap, f"t{new_id().hex[-12:]}.", timing=timing)
    try:
        yield bus
    finally:
        await bus.close()
