"""The bus on Apache Kafka: the only users of aiokafka are the modules of this package.

Delivery is at least once; what makes it exactly once is ours (outbox, inbox, positions in the service's database),
so Kafka's transactions are not used.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as KafkaPartition

from chassis.bus import (
    MAX_RECORD_BYTES,
    PARTITIONS,
    BusUnavailable,
    Delivery,
    Record,
    StartPositions,
    TopicPartition,
    UnknownTopic,
    check_size,
    check_topic,
)
from chassis.bus_kafka.cluster import BEGINNING, END, ROOM_BYTES, Cluster
from chassis.bus_kafka.connection import Timing, connection_of
from chassis.bus_kafka.member import FETCH_BYTES, KafkaMember, headers_of
from chassis.bus_kafka.publisher import Publisher
from chassis.settings import KafkaSettings
from chassis.telemetry import log

__all__ = ["KafkaBus", "KafkaMember", "Timing"]

READ_PAUSE_SECONDS = 0.2

# It tells each attempt of each task at ERROR, and tracebacks; what matters is raised, and told once, in our words.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaBus:
    """The brokers of `kafka://host:port[,host:port]`.

    Raises: ValueError, in one line, for settings that cannot work.
    """

    def __init__(
        self,
        url: str,
        settings: KafkaSettings | None = None,
        *,
        partitions: int = PARTITIONS,
        timing: Timing | None = None,
    ) -> None:
        self.settings = settings or KafkaSettings()
        self.partitions = partitions
        self.url = url
        self._timing = timing or Timing()
        self._connection = connection_of(url, self.settings, self._timing)
        self._cluster = Cluster(self._connection)
        self._publisher = Publisher(self._connection)
        self._known: set[str] = set()
        self._told: set[str] = set()

    async def create_topics(self, topics: Iterable[str]) -> None:
        """See `Bus.create_topics`. With `KAFKA_CREATE_TOPICS=false` they must be there.

        Raises: BusUnavailable, also when they are missing or the brokers refuse to create them.
        """
        names = {check_topic(topic) for topic in topics}
        self._known = set()  # a topic may have been deleted
        missing = await self._missing(names)
        if missing and not self.settings.kafka_create_topics:
            raise BusUnavailable(
                f"Kafka has no topic {', '.join(missing)}, and KAFKA_CREATE_TOPICS is false: "
                "create what is missing with `python -m scripts.topics`"
            )
        if missing:
            await self._cluster.create(missing, self.partitions, self.settings.kafka_replication_factor)
            await self._missing(names)  # somebody else may have made them at the same moment, in another way

    async def _missing(self, topics: set[str]) -> list[str]:
        """Those that do not exist. Raises: BusUnavailable, also when another one cannot be written to."""
        if not topics <= self._known:
            counts = await self._cluster.partitions()
            for topic in topics & counts.keys():
                self._check_partitions(topic, counts[topic])
            self._known |= topics & counts.keys()
        return sorted(topics - self._known)

    def _check_partitions(self, topic: str, count: int) -> None:
        """A key stays in its partition, so only the first ones are written to, whatever is added."""
        if count < self.partitions:
            raise BusUnavailable(f"Kafka's topic {topic} has {count} partitions, not {self.partitions}: make it anew")
        if count > self.partitions and topic not in self._told:
            self._told.add(topic)
            log.warning("kafka_topic_has_more_partitions", topic=topic, partitions=count, written=self.partitions)

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`. All or none as far as a broker can: sizes and topics are checked before anything is
        sent; what is sent is acknowledged in full, or BusUnavailable is raised and some of it may be there."""
        if not records:
            return
        for record in records:
            check_size(record)
        if missing := await self._missing({record.topic for record in records}):
            raise UnknownTopic(f"no topic {', '.join(missing)}")
        try:
            await self._publisher.publish(records, self.partitions)
        except BusUnavailable:
            self._known = set()  # the topic may be gone
            raise

    async def consume(self, group: str, topics: Collection[str], start: StartPositions | None = None) -> KafkaMember:
        """See `Bus.consume`. Partitions of a member that fell silent come later, when its session has ended."""
        member = KafkaMember(self._cluster, self._connection, group, topics, start)
        try:
            await member.join()
        except BaseException:
            await member.close()
            raise
        return member

    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.end_offsets`."""
        return await self._cluster.offsets(topics, END)

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.committed`."""
        return await self._cluster.committed(group, topics)

    async def read(self, topic: str, *, start: int | None, follow: bool) -> AsyncIterator[Delivery]:
        """See `Bus.read`."""
        ends = await self.end_offsets([topic])
        begins = ends if start is None else None
        while not ends and follow:  # a topic created while we wait is new as a whole
            await asyncio.sleep(READ_PAUSE_SECONDS)
            ends = await self.end_offsets([topic])
            begins = None
        first = await self._cluster.offsets([topic], BEGINNING)
        positions = begins or {at: min(max(start or 0, first.get(at, 0)), end) for at, end in ends.items()}
        until = None if follow else {at: end for at, end in ends.items() if positions[at] < end}
        if until:
            positions = {at: positions[at] for at in until}
        if until is None or until:
            async for delivery in self._read(positions, until):
                yield delivery

    async def _read(
        self, positions: dict[TopicPartition, int], until: dict[TopicPartition, int] | None
    ) -> AsyncIterator[Delivery]:
        """Everything from `positions` on, up to `until` or without end."""
        reader: Any = AIOKafkaConsumer(
            client_id="btrst-reader",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_RECORD_BYTES * 2 + ROOM_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            request_timeout_ms=int(self._timing.request_seconds * 1000),
            **self._connection.options,
        )
        partitions = {at: KafkaPartition(*at) for at in positions}
        reader.assign(list(partitions.values()))
        await self._connection.begin(reader.start(), reader.stop)
        try:
            for at, position in positions.items():
                reader.seek(partitions[at], position)
            loop, quiet_since = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            while until is None or any(positions[at] < end for at, end in until.items()):
                found = await reader.getmany(timeout_ms=int(READ_PAUSE_SECONDS * 1000), max_records=500)
                if found:
                    quiet_since = loop.time()
                elif until is not None and loop.time() - quiet_since > self._timing.publish_seconds:
                    raise BusUnavailable(f"Kafka gave nothing for {self._timing.publish_seconds:g} s")
                for listed in found.values():
                    for one in listed:
                        at = TopicPartition(one.topic, one.partition)
                        record = Record(one.topic, one.key, one.value, headers_of(one))
                        yield Delivery(record, one.partition, one.offset)
                        positions[at] = one.offset + 1
        finally:
            await reader.stop()

    async def ping(self) -> None:
        """See `Bus.ping`."""
        await self._cluster.partitions()

    async def close(self) -> None:
        """Let go of connections."""
        await self._publisher.close()
        await self._cluster.close()
        await self._connection.background.close()
