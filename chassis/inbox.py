"""The inbox: each event takes effect once, in the order of its key, in the unit of work of its handler.

The group's positions are stored here too, next to the effects, so that a restored database reads again exactly what
it has forgotten.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Any

from sqlalchemy import ARRAY, BigInteger, bindparam, text

from chassis import tracing
from chassis.bus import Delivery, Handler, Positions, TopicPartition
from chassis.db import Session
from chassis.decoding import Message
from chassis.headers import pack_headers
from chassis.sql import driver_of


class Outcome(Enum):
    """What became of a delivery."""

    DONE = "done"
    DUPLICATE = "duplicate"
    PARKED = "parked"


_LOCK = text("SELECT pg_advisory_xact_lock(lock) FROM unnest(:locks) AS lock").bindparams(
    bindparam("locks", type_=ARRAY(BigInteger))
)
_PARKED_KEYS = """
SELECT DISTINCT p.topic, p.key FROM parked p
JOIN unnest($2::text[], $3::bytea[]) AS k (topic, key) ON p.topic = k.topic AND p.key = k.key
WHERE p.consumer_group = $1
"""
_RECEIVE = """
INSERT INTO inbox (consumer_group, event_id, topic, status)
SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING RETURNING event_id
"""
_PARK = """
INSERT INTO parked (consumer_group, event_id, topic, partition, "offset", key, value, headers, reason, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_STORE = """
INSERT INTO positions (consumer_group, topic, partition, position)
SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[])
ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET position = excluded.position
"""
_LOAD = "SELECT topic, partition, position FROM positions WHERE consumer_group = $1 AND topic = ANY($2)"


def _lock_of(group: str, topic: str, key: bytes) -> int:
    digest = blake2b(b"\0".join((group.encode(), topic.encode(), key)), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


async def lock_keys(session: Session, group: str, keys: Collection[tuple[str, bytes]]) -> None:
    """Hold these (topic, key) of the group until the unit of work ends; always in one order."""
    await session.execute(_LOCK, {"locks": sorted({_lock_of(group, topic, key) for topic, key in keys})})


def key_of(message: Message) -> tuple[str, bytes]:
    """The unit of order a message belongs to."""
    return message.delivery.record.topic, message.delivery.record.key or b""


async def receive(session: Session, group: str, messages: Sequence[Message]) -> list[Outcome]:
    """Lock the messages' keys and enter them in the inbox; DONE means that its handler is to be run now.

    A message whose key has parked ones is parked behind them; one that was seen before is a DUPLICATE.
    """
    if not messages:
        return []
    await lock_keys(session, group, {key_of(message) for message in messages})
    driver = await driver_of(session)
    keys = sorted({key_of(message) for message in messages})
    rows = await driver.fetch(_PARKED_KEYS, group, [topic for topic, _ in keys], [key for _, key in keys])
    parked = {(row[0], row[1]) for row in rows}
    new = await driver.fetch(
        _RECEIVE,
        group,
        [message.envelope.id for message in messages],
        [message.delivery.record.topic for message in messages],
        ["parked" if key_of(message) in parked else "done" for message in messages],
    )
    fresh = {row[0] for row in new}
    outcomes = []
    for message in messages:
        outcome = Outcome.DUPLICATE
        if message.envelope.id in fresh:
            fresh.remove(message.envelope.id)  # the same event twice in one batch
            outcome = Outcome.PARKED if key_of(message) in parked else Outcome.DONE
        if outcome is Outcome.PARKED:
            await _store_parked(driver, group, message, "behind a parked event of its key", 0)
        outcomes.append(outcome)
    return outcomes


async def once(session: Session, group: str, message: Message, handler: Handler, position: int) -> Outcome:
    """Run `handler` unless the event was seen before or stands behind a parked one, and store the position to go
    on from: all in this unit of work, or nothing. Raises: whatever the handler raises."""
    outcome = (await receive(session, group, [message]))[0]
    if outcome is Outcome.DONE:
        await run_handler(session, group, message, handler)
    await store_positions(session, group, {message.delivery.at: position})
    return outcome


async def run_handler(session: Session, group: str, message: Message, handler: Handler) -> None:
    """Call the handler inside the trace of the event. Raises: whatever it raises.

    Source: semantic conventions for messaging spans, for the attributes.
    """
    parent = message.envelope.traceparent
    if not tracing.is_on():
        with tracing.within(tracing.traceparent_from(parent)):
            await handler(session, message.event, message.envelope)
        return
    topic = message.delivery.record.topic
    attributes = {
        "messaging.system": "btrst_bus",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(message.delivery.partition),
        "messaging.consumer.group.name": group,
        "messaging.message.id": str(message.envelope.id),
        "btrst.event.offset": message.delivery.offset,
        "btrst.event.type": message.envelope.type,
    }
    with tracing.span(f"process {topic}", "consumer", parent=parent, attributes=attributes):
        await handler(session, message.event, message.envelope)


async def park(session: Session, group: str, message: Message, *, reason: str, attempts: int) -> bool:
    """Put a message aside until it is replayed; later ones of its key will queue behind it. False if it was seen
    before and nothing is to be parked."""
    await lock_keys(session, group, [key_of(message)])
    driver = await driver_of(session)
    topic = message.delivery.record.topic
    if not await driver.fetch(_RECEIVE, group, [message.envelope.id], [topic], ["parked"]):
        return False
    await _store_parked(driver, group, message, reason, attempts)
    return True


async def _store_parked(driver: Any, group: str, message: Message, reason: str, attempts: int) -> None:
    delivery: Delivery = message.delivery
    record = delivery.record
    await driver.execute(
        _PARK,
        group,
        message.envelope.id,
        record.topic,
        delivery.partition,
        delivery.offset,
        record.key,
        record.value,
        pack_headers(record.headers),
        reason,
        attempts,
    )


async def store_positions(session: Session, group: str, positions: Positions) -> None:
    """Remember where the group goes on. A late member may set it back, which costs a second look and no more."""
    if positions:
        await (await driver_of(session)).execute(
            _STORE,
            group,
            [at.topic for at in positions],
            [at.partition for at in positions],
            list(positions.values()),
        )


async def load_positions(session: Session, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
    """Where the group goes on, for every partition it has read from."""
    rows = await (await driver_of(session)).fetch(_LOAD, group, list(topics))
    return {TopicPartition(topic, partition): position for topic, partition, position in rows}
