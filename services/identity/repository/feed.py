"""The feeds: entries are numbered under the lock of their member's head, read in order, forgotten by age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, exists, select, tuple_

from chassis.db import Session
from chassis.sql import driver_of
from services.identity.models import feed_entries, feed_heads

CHANNEL = "feed"
_MOST_IDS_IN_A_PAYLOAD = 200
"""A notification holds 8,000 bytes. Source: PostgreSQL manual, NOTIFY."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that has no number yet."""

    member_id: UUID
    mark: str
    type: str
    line: str


_BUMP = """
INSERT INTO feed_heads AS head (member_id, last, mark)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])
ON CONFLICT (member_id) DO UPDATE SET last = head.last + excluded.last, mark = excluded.mark
RETURNING member_id, last
"""
_INSERT = """
INSERT INTO feed_entries (member_id, seq, mark, type, line)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
"""
_RING = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"


async def append_entries(session: Session, entries: Sequence[NewEntry]) -> None:
    """Number and store the entries, in their order, and tell whoever listens which members have new ones.

    The heads are locked in one order for all units of work, until the commit: what has a lower number is never
    visible later.
    """
    by_member: dict[UUID, list[NewEntry]] = {}
    for entry in entries:
        by_member.setdefault(entry.member_id, []).append(entry)
    members = sorted(by_member)
    driver = await driver_of(session)
    bumped = await driver.fetch(
        _BUMP,
        members,
        [len(by_member[member]) for member in members],
        [by_member[member][-1].mark for member in members],
    )
    first = {row[0]: row[1] - len(by_member[row[0]]) + 1 for row in bumped}
    rows = [
        (member, first[member] + nth, entry.mark, entry.type, entry.line)
        for member in members
        for nth, entry in enumerate(by_member[member])
    ]
    await driver.execute(_INSERT, *map(list, zip(*rows, strict=True)))
    step = _MOST_IDS_IN_A_PAYLOAD
    payloads = [",".join(map(str, members[at : at + step])) for at in range(0, len(members), step)]
    await driver.execute(_RING, CHANNEL, payloads)


async def find_head(session: Session, member_id: UUID) -> Row[Any] | None:
    """The number and mark of the member's newest entry; None before there was one."""
    statement = select(feed_heads.c.last, feed_heads.c.mark).where(feed_heads.c.member_id == member_id)
    return (await session.execute(statement)).one_or_none()


async def has_entry(session: Session, member_id: UUID, seq: int, *, mark: str | None = None) -> bool:
    """Whether the entry is kept, and is the one with this mark."""
    mine = (feed_entries.c.member_id == member_id) & (feed_entries.c.seq == seq)
    if mark is not None:
        mine &= feed_entries.c.mark == mark
    return bool(await session.scalar(select(exists().where(mine))))


async def list_entries(session: Session, member_id: UUID, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """The member's entries with higher numbers than `after`, in order."""
    statement = (
        select(feed_entries.c.seq, feed_entries.c.mark, feed_entries.c.type, feed_entries.c.line)
        .where(feed_entries.c.member_id == member_id, feed_entries.c.seq > after)
        .order_by(feed_entries.c.seq)
        .limit(limit)
    )
    return (await session.execute(statement)).all()


async def delete_entries_before(session: Session, moment: datetime, *, limit: int) -> int:
    """Forget the oldest of the entries recorded before `moment`; how many."""
    key = tuple_(feed_entries.c.member_id, feed_entries.c.seq)
    old = (
        select(feed_entries.c.member_id, feed_entries.c.seq)
        .where(feed_entries.c.recorded_at < moment)
        .order_by(feed_entries.c.recorded_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(delete(feed_entries).where(key.in_(old)))).rowcount
