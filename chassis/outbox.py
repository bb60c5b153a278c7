"""The outbox: events are stored in the unit of work of what they tell, and a relay brings them to the bus.

The relay sends unsent rows by id, never "everything after the last id": that one skips rows that commit late. A key
has one shard, a shard one relay at a time, so the order of a key's commits is its order on the bus.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from weakref import WeakSet
from zlib import crc32

from prometheus_client import Counter as Metric
from prometheus_client import Gauge
from sqlalchemy import ARRAY, BigInteger, Text, bindparam, text

from chassis import tracing
from chassis.bus import Bus, Record, UnknownTopic
from chassis.clock import utc_now
from chassis.db import Database, Session
from chassis.envelope import CONTENT_TYPE, Event, wrap
from chassis.failpoints import failpoint
from chassis.headers import pack_headers, unpack_headers
from chassis.ids import new_id
from chassis.retries import is_transient, pause_seconds, wait_for
from chassis.sql import driver_of
from chassis.telemetry import log
from chassis.tracing import current_traceparent, traceparent_from

SHARDS = 16
MAX_EVENT_BYTES = 1_000_000
"""An event larger than this is a mistake of the publisher; consumers refuse it too."""

RELAY_LOCK = 7_260_303
EVENT_HEADERS = (("content-type", CONTENT_TYPE.encode()),)

PUBLISHED = Metric("btrst_outbox_published_total", "Records the bus has acknowledged", ["topic"])
UNSENT = Gauge("btrst_outbox_unsent", "Rows that wait for the relay")
UNSENT_SECONDS = Gauge("btrst_outbox_oldest_unsent_seconds", "Age of the oldest row that waits for the relay")


@dataclass(frozen=True, slots=True)
class _Pending:
    event: Event
    event_id: UUID
    time: datetime
    traceparent: str


@dataclass(slots=True)
class _Buffer:
    events: list[_Pending]
    copies: list[Record]


def publish(session: Session, event: Event) -> None:
    """Publish `event` if and when this unit of work commits, as the next of its key; outside a trace it begins one."""
    event_id = new_id()
    trace = _created(event, event_id) if tracing.is_on() else current_traceparent() or traceparent_from(None)
    _buffer(session).events.append(_Pending(event, event_id, utc_now(), trace))


def _created(event: Event, event_id: UUID) -> str:
    """The trace context of an event: a span of its own, under which it is sent and processed."""
    attributes = {
        "messaging.system": "btrst_bus",
        "messaging.operation.type": "create",
        "messaging.operation.name": "create",
        "messaging.destination.name": event.topic(),
        "messaging.message.id": str(event_id),
        "btrst.event.type": event.type_,
    }
    created = tracing.begin(f"create {event.topic()}", "producer", current_traceparent(), attributes)
    created.end()
    return created.traceparent


def publish_copy(session: Session, record: Record) -> None:
    """Publish bytes as they are (a dead letter), if and when this unit of work commits."""
    _buffer(session).copies.append(record)


def _buffer(session: Session) -> _Buffer:
    buffer = session.buffered.get("outbox")
    if not isinstance(buffer, _Buffer):
        buffer = session.buffered["outbox"] = _Buffer([], [])
        session.before_commit(_flush)
        session.after_commit(_wake_relays)
    return buffer


_BUMP = text(
    """
    INSERT INTO outbox_sequence (topic, key, last) SELECT * FROM unnest(:topics, :keys, :counts)
    ON CONFLICT (topic, key) DO UPDATE SET last = outbox_sequence.last + excluded.last
    RETURNING topic, key, last
    """
).bindparams(
    bindparam("topics", type_=ARRAY(Text)),
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("counts", type_=ARRAY(BigInteger)),
)

_INSERT = """
INSERT INTO outbox (shard, topic, type, key, value, headers)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[])
"""


async def _flush(session: Session) -> None:
    """Number the buffered events and store them, in one statement each."""
    buffer = _buffer(session)
    rows = [_row_of(copy, None) for copy in buffer.copies]
    if buffer.events:
        last = await _bump(session, Counter((item.event.topic(), item.event.key()) for item in buffer.events))
        rows[:0] = [_row_of(*_numbered(item, last)) for item in buffer.events]
    buffer.events, buffer.copies = [], []
    if rows:
        await (await driver_of(session)).execute(_INSERT, *map(list, zip(*rows, strict=True)))


async def _bump(session: Session, counts: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The sequence before the first new event of each key. Locks the keys in one order for all units of work."""
    keys = sorted(counts)
    rows = await session.execute(
        _BUMP,
        {
            "topics": [topic for topic, _ in keys],
            "keys": [key for _, key in keys],
            "counts": [counts[key] for key in keys],
        },
    )
    return {(row.topic, row.key): row.last - counts[row.topic, row.key] for row in rows}


def _numbered(item: _Pending, last: dict[tuple[str, str], int]) -> tuple[Record, str]:
    event, key = item.event, item.event.key()
    last[event.topic(), key] += 1
    sequence = last[event.topic(), key]
    envelope = wrap(event, event_id=item.event_id, sequence=sequence, time=item.time, traceparent=item.traceparent)
    value = envelope.to_bytes()
    if len(value) > MAX_EVENT_BYTES:
        raise ValueError(f"{event.type_} of {key} has {len(value)} bytes, over the limit of {MAX_EVENT_BYTES}")
    return Record(event.topic(), key.encode(), value, EVENT_HEADERS), event.type_


def _row_of(record: Record, event_type: str | None) -> tuple[int, str, str | None, bytes | None, bytes | None, bytes]:
    shard = crc32(record.key or b"") % SHARDS
    return shard, record.topic, event_type, record.key, record.value, pack_headers(record.headers)


_relays: WeakSet["Relay"] = WeakSet()


def _wake_relays() -> None:
    for relay in _relays:
        relay.wake()


# The unit of work of a relay stands still for as long as the bus is slow, which may be more than others are given.
CLAIM = text(
    """
    SELECT shard, set_config('synchronous_commit', 'off', true), set_config('enable_sort', 'off', true),
           set_config('idle_in_transaction_session_timeout', '30s', true)
    FROM generate_series(0, :last) AS shard
    WHERE (SELECT min(id) FROM outbox) IS NOT NULL AND pg_try_advisory_xact_lock(:lock, shard)
    """
)
# In the order of the primary key, without a sort: a planner that knows little of a table this changeable would rather
# read all that waits, for each batch. (`min` above: by the key too, past the dead rows that nobody has cleaned up yet.)
NEXT_BATCH = """
SELECT id, topic, type, key, value, headers FROM outbox WHERE shard = ANY($1::int[]) ORDER BY id LIMIT $2
"""
# One text instead of an array of numbers: the driver takes a microsecond for each element of an array.
_DELETE = "DELETE FROM outbox WHERE id = ANY(string_to_array($1, ',')::bigint[])"
_MEASURE = text(
    """
    SELECT count(*) AS rows, extract(epoch FROM clock_timestamp() - min(created_at)) AS age
    FROM outbox
    """
)


class Relay:
    """Brings what is in the outbox to the bus, at least once, in order for each key. Any number may run at once.

    `failpoints` names a failpoint for an event type: it is hit when the bus has such an event and the outbox does
    not know yet.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        batch_size: int = 1_000,
        poll_seconds: float = 0.1,
        failpoints: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._bus = bus
        self._batch_size = batch_size
        self._poll_seconds = poll_seconds
        self._failpoints = dict(failpoints or {})
        self._bell = asyncio.Event()
        self._housekeeping_at = 0.0

    def wake(self) -> None:
        """Look at the outbox now."""
        self._bell.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until `stopping`; a database or bus that is away delays and loses nothing."""
        _relays.add(self)
        failures = 0
        try:
            while not stopping.is_set():
                try:
                    await self._turn()
                    failures = 0
                except Exception as error:  # whatever it is, the rows are still there
                    failures += 1
                    _report(error)
                    await wait_for(stopping, pause_seconds(failures))
            with contextlib.suppress(Exception):  # what the last requests left; else another relay sends it
                await self.run_once()
        finally:
            _relays.discard(self)

    async def _turn(self) -> None:
        self._bell.clear()
        if await self.run_once() < self._batch_size:
            await self._keep_house()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), self._poll_seconds)

    async def run_once(self) -> int:
        """Send one batch; how many records it had. Raises: whatever database and bus raise; nothing is lost."""
        async with self._database.unit_of_work() as session:
            claimed = [row.shard for row in await session.execute(CLAIM, {"last": SHARDS - 1, "lock": RELAY_LOCK})]
            if not claimed:
                return 0
            driver = await driver_of(session)
            rows = await driver.fetch(NEXT_BATCH, claimed, self._batch_size)
            if not rows:
                return 0
            failpoint("p1")
            started_ns = tracing.now_ns()
            await self._send([Record(row[1], row[3], row[4], unpack_headers(row[5])) for row in rows])
            if tracing.is_on():
                _tell_sent([(row[1], row[4]) for row in rows], started_ns)
            for name in {self._failpoints[row[2]] for row in rows if row[2] in self._failpoints}:
                failpoint(name)
            failpoint("p2")
            await driver.execute(_DELETE, ",".join(str(row[0]) for row in rows))
        for topic, count in Counter(row[1] for row in rows).items():
            PUBLISHED.labels(topic).inc(count)
        return len(rows)

    async def _send(self, records: Sequence[Record]) -> None:
        try:
            await self._bus.publish(records)
        except UnknownTopic:
            # The outbox holds our own events only, so the topic is right and merely new.
            await self._bus.create_topics({record.topic for record in records})
            await self._bus.publish(records)

    async def _keep_house(self) -> None:
        if time.monotonic() < self._housekeeping_at:
            return
        self._housekeeping_at = time.monotonic() + 10
        async with self._database.unit_of_work() as session:
            unsent = (await session.execute(_MEASURE)).mappings().one()
            UNSENT.set(unsent["rows"])
            UNSENT_SECONDS.set(unsent["age"] or 0)


def _tell_sent(sent: Sequence[tuple[str, bytes | None]], started_ns: int) -> None:
    """A span for each record of the batch that belongs to a trace: from the first byte to the bus's word."""
    for topic, value in sent:
        parent = tracing.traceparent_in(value)
        if parent is not None:
            attributes = {
                "messaging.system": "btrst_bus",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": topic,
                "messaging.batch.message_count": len(sent),
            }
            tracing.begin(f"send {topic}", "producer", parent, attributes, started_ns=started_ns).end()


def _report(error: Exception) -> None:
    if is_transient(error):
        log.warning("relay_waits", error=f"{type(error).__name__}: {error}"[:300])
    else:
        log.error("relay_failed", exc_info=error)
