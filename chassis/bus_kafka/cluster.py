"""Questions to the cluster, and the making of topics: everything that is not the flow of records itself."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition as KafkaPartition

from chassis.bus import (
    DEAD_LETTER_SUFFIX,
    MAX_DEAD_LETTER_BYTES,
    MAX_RECORD_BYTES,
    BusUnavailable,
    TopicPartition,
)
from chassis.bus_kafka.connection import Connection, translated

T = TypeVar("T")

BEGINNING, END = -2, -1
"""What to ask for instead of a time. Source: Apache Kafka protocol, ListOffsets."""

ROOM_BYTES = 2**20
"""Of a topic's largest message, for the headers and the frame around key and value."""


class Cluster:
    """One client for questions, made at the first one, and anew after any failure."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None
        self._opening = asyncio.Lock()

    async def partitions(self) -> dict[str, int]:
        """How many partitions each topic has. Raises: BusUnavailable."""
        async with self._asking() as client:
            return _counts(await client.fetch_all_metadata())

    async def offsets(self, topics: Collection[str], when: int) -> dict[TopicPartition, int]:
        """The first offset of every partition (BEGINNING) or the one after the last (END). Raises: BusUnavailable."""
        async with self._asking() as client:
            return await _patiently(lambda: self._offsets(client, topics, when))

    async def _offsets(self, client: Any, topics: Collection[str], when: int) -> dict[TopicPartition, int]:
        metadata = await client.fetch_all_metadata()
        wanted: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for topic in topics:
            for partition in metadata.partitions_for_topic(topic) or ():
                leader = metadata.leader_for_partition(KafkaPartition(topic, partition))
                if leader in {None, -1}:
                    raise errors.LeaderNotAvailableError(f"{topic} {partition}")
                wanted[leader][topic].append((partition, when))
        answers = await asyncio.gather(
            *(client.send(node, OffsetRequest(-1, 0, list(asked.items()))) for node, asked in wanted.items())
        )
        found: dict[TopicPartition, int] = {}
        for answer in answers:
            for topic, partitions in answer.topics:
                for partition, code, _, offset in partitions:
                    _check(code, topic)
                    found[TopicPartition(topic, partition)] = offset
        return found

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Where the group last committed. Raises: BusUnavailable."""
        async with self._asking() as client:
            return await _patiently(lambda: self._committed(client, group, topics))

    async def _committed(self, client: Any, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        answer = await client.send(node, OffsetFetchRequest(group, None))
        _check(getattr(answer, "error_code", 0), group)
        return _told(answer, topics)

    async def create(self, topics: Iterable[str], partitions: int, replicas: int) -> None:
        """Create the topics that do not exist, and wait until every one has its leaders.

        Raises: BusUnavailable, with the brokers' reason if they refuse.
        """
        async with self._asking(self._connection.timing.create_seconds) as client:
            metadata = await client.fetch_all_metadata()
            missing = sorted(set(topics) - _counts(metadata).keys())
            if missing:
                wanted = [_topic(name, partitions, replicas) for name in missing]
                await _patiently(lambda: _create(client, wanted))
            while not _all_led(metadata, missing):
                await asyncio.sleep(0.05)
                metadata = await client.fetch_all_metadata()

    @asynccontextmanager
    async def _asking(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """The client, for one question. It is given up after a failure: whatever it knew may be wrong."""
        try:
            async with translated(seconds or self._connection.timing.request_seconds):
                yield await self._connected()
        except BusUnavailable:
            await self.close()
            raise

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                patience = int(self._connection.timing.request_seconds * 1000)
                client = AIOKafkaClient(
                    client_id="btrst-cluster", request_timeout_ms=patience, **self._connection.options
                )
                await self._connection.begin(client.bootstrap(), client.close)
                self._client = client
            return self._client

    async def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            self._connection.background.spawn(client.close())


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for again while a broker is away or a leader on the move. Whoever calls sets the end."""
    while True:
        try:
            return await ask()
        except errors.KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(0.1)


def _counts(metadata: Any) -> dict[str, int]:
    topics = metadata.topics(exclude_internal_topics=True)
    return {topic: len(metadata.partitions_for_topic(topic)) for topic in topics}


def _all_led(metadata: Any, topics: Iterable[str]) -> bool:
    """Whether every partition of the topics has a leader."""
    return all(
        metadata.partitions_for_topic(topic) is not None
        and metadata.partitions_for_topic(topic) == metadata.available_partitions_for_topic(topic)
        for topic in topics
    )


def _told(answer: Any, topics: Collection[str]) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    for topic, partitions in answer.topics:
        for partition, offset, _, code in partitions:
            _check(code, topic)
            if topic in topics and offset >= 0:
                found[TopicPartition(topic, partition)] = offset
    return found


def _check(code: int, about: str) -> None:
    kind = errors.for_code(code)
    if kind is not errors.NoError:
        raise kind(about)


def topic_settings(name: str, replicas: int) -> dict[str, str]:
    """What a topic is created with, as Kafka names it.

    A majority of the replicas must have a record before it counts as written: so a broker may be away, and what is
    acknowledged outlives its disk. Events are kept, so that every consumer can be replayed; the time of a record is
    the broker's, because one with a clock an hour off would be refused. Whatever another writer compresses with is
    undone by the broker: aiokafka alone reads gzip only, and would stand before such a record for ever.
    """
    largest = MAX_DEAD_LETTER_BYTES if name.endswith(DEAD_LETTER_SUFFIX) else MAX_RECORD_BYTES
    return {
        "cleanup.policy": "delete",
        "compression.type": "uncompressed",
        "max.message.bytes": str(largest + ROOM_BYTES),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(replicas // 2 + 1 if replicas > 2 else 1),
        "retention.bytes": "-1",
        "retention.ms": "-1",
        "unclean.leader.election.enable": "false",
    }


def _topic(name: str, partitions: int, replicas: int) -> tuple[Any, ...]:
    return name, partitions, replicas, [], list(topic_settings(name, replicas).items())


async def _create(client: Any, topics: Sequence[tuple[Any, ...]]) -> None:
    """Raises: BusUnavailable when the brokers refuse."""
    request = CreateTopicsRequest(list(topics), 5_000, validate_only=False)
    answer = await client.send(client.get_random_node(), request)
    for topic, code, *rest in answer.topic_errors:
        kind = errors.for_code(code)
        if kind.retriable:
            raise kind(topic)
        if kind not in {errors.NoError, errors.TopicAlreadyExistsError}:
            reason = (rest[0] if rest else "") or kind.__name__
            raise BusUnavailable(f"Kafka does not create the topic {topic}: {reason}"[:300])
