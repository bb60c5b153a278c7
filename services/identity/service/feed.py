"""Use cases of feeds: events are recorded for the members they concern, and read on from any place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from chassis.clock import to_rfc3339, utc_now
from chassis.db import Session
from chassis.envelope import Envelope, Event
from chassis.strict_json import dump_compact
from events.audience import concerned, shown
from services.identity.domain.feed import BEGINNING, OLDEST, Place, mark_of
from services.identity.repository import feed as repository
from services.identity.repository.feed import NewEntry

FEED_CHANNEL = repository.CHANNEL
_BUFFER = "feed"
DELETE_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in a row, and whether entries before them are gone unread."""

    entries: Sequence[Row[Any]]
    has_gap: bool


async def record_event(session: Session, *, event: Event, envelope: Envelope) -> None:
    """Put the event into the feeds of the members it concerns, when this unit of work commits: all that a unit of
    work records is numbered at its end, in one go, so that feeds are locked for a moment only."""
    entries = session.buffered.get(_BUFFER)
    if entries is None:
        entries = session.buffered[_BUFFER] = []
        session.before_commit(_flush)
    members = concerned(event)
    if members:
        line, mark = _line_of(event, envelope), mark_of(envelope.id)
        entries += [NewEntry(member, mark, event.type_, line) for member in members]


async def _flush(session: Session) -> None:
    entries, session.buffered[_BUFFER] = session.buffered[_BUFFER], []
    if entries:
        await repository.append_entries(session, entries)


def _line_of(event: Event, envelope: Envelope) -> str:
    """The event as the members see it: no trace of who caused it, and only the fields that are theirs to see."""
    told = {
        "id": str(envelope.id),
        "type": envelope.type,
        "time": to_rfc3339(envelope.time),
        "subject": envelope.subject,
        "sequence": envelope.sequence,
        "data": shown(event),
    }
    return dump_compact(told).decode()


async def open_feed(session: Session, *, member_id: UUID, after: Place | None) -> tuple[Place, bool]:
    """The place to read on from: `after` itself, or the newest entry without one; and whether all that came after it
    is there. If it is not, because it is no longer kept or the feed is another one, the place is the oldest entry."""
    head = await repository.find_head(session, member_id)
    if after is None:
        return (Place(head.last, head.mark) if head else BEGINNING), True
    if after == OLDEST or await _is_known(session, member_id, after, head):
        return after, True
    return OLDEST, False


async def _is_known(session: Session, member_id: UUID, place: Place, head: Row[Any] | None) -> bool:
    if place.seq == 0:
        return place == BEGINNING and (head is None or await repository.has_entry(session, member_id, 1))
    if head is not None and (head.last, head.mark) == (place.seq, place.mark):
        return True
    return await repository.has_entry(session, member_id, place.seq, mark=place.mark)


async def read_feed(session: Session, *, member_id: UUID, after: Place, limit: int) -> Page:
    """What comes next after the place, at most `limit` entries, without a gap between them."""
    rows = await repository.list_entries(session, member_id, after=after.seq, limit=limit)
    if not rows:
        return Page((), has_gap=False)
    first = rows[0].seq
    in_a_row = [row for nth, row in enumerate(rows) if row.seq == first + nth]
    return Page(in_a_row, has_gap=after != OLDEST and first != after.seq + 1)


async def forget_old(session: Session, *, keep_seconds: int) -> bool:
    """Delete entries that are no longer kept; True when there may be more of them."""
    moment = utc_now() - timedelta(seconds=keep_seconds)
    return await repository.delete_entries_before(session, moment, limit=DELETE_BATCH) == DELETE_BATCH
