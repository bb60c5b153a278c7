"""Parked events: listing them, and handling them again from the table, in order, never by publishing them anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update

from chassis import inbox
from chassis.bus import Delivery, Record, Subscriptions
from chassis.db import Database, Session
from chassis.decoding import Registry, decode, known_events
from chassis.headers import unpack_headers
from chassis.tables import inbox as inbox_table
from chassis.tables import parked


@dataclass(frozen=True, slots=True)
class Parked:
    """One event in the parking place."""

    id: int
    consumer_group: str
    event_id: UUID
    delivery: Delivery
    reason: str
    attempts: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: how many events took effect, and why keys stopped (topic, key, reason)."""

    done: int
    failed: list[tuple[str, bytes, str]]


async def list_parked(
    session: Session, *, group: str | None = None, topic: str | None = None, key: bytes | None = None, limit: int = 100
) -> Sequence[Parked]:
    """Parked events, oldest first."""
    query = select(parked).order_by(parked.c.id).limit(limit)
    for column, wanted in ((parked.c.consumer_group, group), (parked.c.topic, topic), (parked.c.key, key)):
        if wanted is not None:
            query = query.where(column == wanted)
    return [_parked_of(row) for row in await session.execute(query)]


async def find_parked(session: Session, parked_id: int) -> Parked | None:
    """One parked event."""
    row = (await session.execute(select(parked).where(parked.c.id == parked_id))).one_or_none()
    return None if row is None else _parked_of(row)


def _parked_of(row: object) -> Parked:
    values = row._mapping  # type: ignore[attr-defined]
    record = Record(values["topic"], values["key"], values["value"], unpack_headers(values["headers"]))
    return Parked(
        values["id"],
        values["consumer_group"],
        values["event_id"],
        Delivery(record, values["partition"], values["offset"]),
        values["reason"],
        values["attempts"],
        values["parked_at"],
    )


async def replay_parked(
    database: Database,
    subscriptions: Subscriptions,
    *,
    registry: Registry | None = None,
    topic: str | None = None,
    key: bytes | None = None,
) -> Replayed:
    """Handle the group's parked events again, each in a unit of work of its own. A key stops at its first failure,
    the others go on; what succeeds leaves the parking place, and its key flows again when the last one has."""
    group, known = subscriptions.group, registry or known_events()
    done, failed = 0, []
    for lane in await _lanes(database, group, topic, key):
        while True:
            try:
                async with database.unit_of_work() as session:
                    if not await _replay_next(session, subscriptions, known, lane):
                        break
                done += 1
            except Exception as error:  # the key stays parked, with the new reason
                reason = f"{type(error).__name__}: {error}"[:500]
                failed.append((*lane, reason))
                await _note_failure(database, group, lane, reason)
                break
    return Replayed(done, failed)


async def _lanes(database: Database, group: str, topic: str | None, key: bytes | None) -> list[tuple[str, bytes]]:
    query = select(parked.c.topic, parked.c.key).where(parked.c.consumer_group == group).distinct()
    if topic is not None:
        query = query.where(parked.c.topic == topic)
    if key is not None:
        query = query.where(parked.c.key == key)
    async with database.unit_of_work() as session:
        return sorted((row.topic, row.key) for row in await session.execute(query))


async def _replay_next(
    session: Session, subscriptions: Subscriptions, registry: Registry, lane: tuple[str, bytes]
) -> bool:
    """Handle the oldest parked event of the key; False when there is none."""
    await inbox.lock_keys(session, subscriptions.group, [lane])
    oldest = await _oldest(session, subscriptions.group, lane)
    if oldest is None:
        return False
    message = decode(oldest.delivery, registry)
    handler = subscriptions.handlers.get(type(message.event))
    if handler is not None:
        await inbox.run_handler(session, subscriptions.group, message, handler)
    await session.execute(delete(parked).where(parked.c.id == oldest.id))
    await session.execute(
        update(inbox_table)
        .where(inbox_table.c.consumer_group == subscriptions.group, inbox_table.c.event_id == oldest.event_id)
        .values(status="done")
    )
    return True


async def _oldest(session: Session, group: str, lane: tuple[str, bytes]) -> Parked | None:
    found = await list_parked(session, group=group, topic=lane[0], key=lane[1], limit=1)
    return found[0] if found else None


async def _note_failure(database: Database, group: str, lane: tuple[str, bytes], reason: str) -> None:
    async with database.unit_of_work() as session:
        oldest = await _oldest(session, group, lane)
        if oldest is not None:
            await session.execute(
                update(parked).where(parked.c.id == oldest.id).values(reason=reason, attempts=parked.c.attempts + 1)
            )
