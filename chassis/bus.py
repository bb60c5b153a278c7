"""The seam to the bus of events: records, the `Bus` and `Member` protocols, and who handles what.

Three buses stand behind it: Apache Kafka (`bus_kafka`), the log in PostgreSQL (`bus_sql`), and the one in memory for
unit tests (`bus_memory`).
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from chassis.envelope import Event

if TYPE_CHECKING:
    from chassis.settings import KafkaSettings

PARTITIONS = 6
"""Partitions of a topic unless the bus is told otherwise. Never changed: a key must stay in its partition."""

MAX_RECORD_BYTES = 4 * 2**20
MAX_DEAD_LETTER_BYTES = 8 * 2**20
DEAD_LETTER_SUFFIX = ".dlq"
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,200}", re.ASCII)

Headers = tuple[tuple[str, bytes], ...]


class BusUnavailable(Exception):
    """The bus does not answer; the same call may work later."""


class UnknownTopic(Exception):
    """A record names a topic that nobody created."""


class RecordTooLarge(ValueError):
    """A record is over the bus's limit."""


class Fenced(Exception):
    """The member no longer holds the partitions it speaks for: another one has taken them over."""


class TopicPartition(NamedTuple):
    """One ordered log: the records of a topic whose keys fall into this partition."""

    topic: str
    partition: int


class Record(NamedTuple):
    """What is published: bytes, as they are."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Delivery(NamedTuple):
    """A record as it came from the bus, with its place there."""

    record: Record
    partition: int
    offset: int

    @property
    def at(self) -> TopicPartition:
        """The log it was read from."""
        return TopicPartition(self.record.topic, self.partition)


Positions = Mapping[TopicPartition, int]
"""For each partition the offset to read next."""

StartPositions = Callable[[Collection[TopicPartition]], Awaitable[Positions]]
"""Asked for partitions just assigned; a partition that is missing from the answer is read from its beginning."""


class Member(Protocol):
    """One reader of a consumer group. What a `fetch` gave is in flight until the next `fetch`: only in between
    do partitions change hands, so an orderly hand-over never happens in the middle of a batch."""

    async def fetch(self, *, max_records: int, timeout_seconds: float) -> list[Delivery]:
        """Records in the order of their partitions; an empty list when none came in time.

        Raises: BusUnavailable.
        """
        ...

    async def commit(self, positions: Positions) -> None:
        """Tell the bus how far the group is, for those who watch its lag.

        Raises: Fenced when another member holds one of the partitions; BusUnavailable.
        """
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this member reads now."""
        ...

    async def close(self) -> None:
        """Leave the group; its partitions are free at once."""
        ...


class Bus(Protocol):
    """Topics of six ordered partitions each, written by many, read by groups."""

    async def create_topics(self, topics: Iterable[str]) -> None:
        """Create the topics that do not exist yet. Raises: BusUnavailable."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Append the records, all or none, in order for each key; durable when this returns.

        Raises: UnknownTopic; RecordTooLarge; BusUnavailable (the records may have been written nevertheless).
        """
        ...

    async def consume(self, group: str, topics: Collection[str], start: StartPositions | None = None) -> Member:
        """Join a group. Without `start` the group goes on where it last committed. Raises: BusUnavailable."""
        ...

    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """For each partition the offset that the next record will get. Raises: BusUnavailable."""
        ...

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """How far a group says it is. Raises: BusUnavailable."""
        ...

    def read(self, topic: str, *, start: int | None, follow: bool) -> AsyncIterator[Delivery]:
        """All records of a topic from offset `start` of each partition (None: from its end), outside any group.
        Ends at the end of the log unless told to follow."""
        ...

    async def ping(self) -> None:
        """Return if the bus answers. Raises: BusUnavailable, with the reason in one line."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def bus_from_url(url: str, *, partitions: int = PARTITIONS, kafka: "KafkaSettings | None" = None) -> Bus:
    """The bus that `url` names; nothing is connected yet. Without `kafka` its settings come from the environment.

    Raises: ValueError, in one line, when there is no such bus or its settings cannot work.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        from chassis.bus_memory import MemoryBus

        return MemoryBus(partitions=partitions)
    if scheme in {"postgresql", "postgres", "postgresql+asyncpg"}:
        from chassis.bus_sql import SqlBus

        return SqlBus(url, partitions=partitions)
    if scheme == "kafka":
        from chassis.bus_kafka import KafkaBus
        from chassis.settings import KafkaSettings

        return KafkaBus(url, kafka or KafkaSettings(), partitions=partitions)
    raise ValueError(f"BUS_URL must begin with kafka://, postgresql:// or memory://, not {scheme or 'nothing'}://")


def check_topic(topic: str) -> str:
    """`topic` if it is a legal name. Raises: ValueError. Source: Apache Kafka, legal topic names."""
    if not _TOPIC.fullmatch(topic):
        raise ValueError(f"not a topic name: {topic[:80]!r}")
    return topic


def check_size(record: Record) -> None:
    """Refuse what is over the limit. Raises: RecordTooLarge."""
    limit = MAX_DEAD_LETTER_BYTES if record.topic.endswith(DEAD_LETTER_SUFFIX) else MAX_RECORD_BYTES
    size = len(record.value or b"") + len(record.key or b"")
    if size > limit:
        raise RecordTooLarge(f"{size} bytes are over the limit of {limit} for {record.topic}")


def dead_letter_topic(topic: str, group: str) -> str:
    """Where the events of `topic` go that `group` could not handle."""
    return f"{topic}.{group}{DEAD_LETTER_SUFFIX}"


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, the same on every bus. Source: Apache Kafka's default partitioner."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bit, with Kafka's seed."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * m) & mask
        k = ((k ^ (k >> 24)) * m) & mask
        h = ((h * m) & mask) ^ k
    if rest := data[whole:]:
        h = ((h ^ int.from_bytes(rest, "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)


Handler = Callable[[Any, Any, Any], Awaitable[None]]
"""`async def on_<event>(session, event, envelope) -> None`, called inside one unit of work."""

HandlerT = TypeVar("HandlerT", bound=Callable[..., Awaitable[None]])


class Subscriptions:
    """Which events a consumer group wants, and who handles each."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.handlers: dict[type[Event], Handler] = {}

    def on(self, event: type[Event]) -> Callable[[HandlerT], HandlerT]:
        """Make the decorated coroutine function the handler of `event`. Raises: ValueError if it has one."""

        def register(handler: HandlerT) -> HandlerT:
            if event in self.handlers:
                raise ValueError(f"{event.__name__} has a handler already: {self.handlers[event]}")
            self.handlers[event] = handler
            return handler

        return register

    def topics(self) -> list[str]:
        """The topics of the wanted events, sorted."""
        return sorted({event.topic() for event in self.handlers})
