"""Places in a member's feed: the number of an entry, and a mark by which it is known to be that entry.

A member's entries are numbered 1, 2, 3 … without a gap, so whoever has one knows what comes next, and whether it is
missing. The mark is of the event itself: a number alone would lead on in a feed that was made anew from an old copy of
the database, where it may stand for another event.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from services.identity.errors import InvalidEventId

_PLACE = re.compile(r"(0|[1-9][0-9]{0,17})-([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Right after the entry `seq`, whose mark is `mark`."""

    seq: int
    mark: str

    def __str__(self) -> str:
        return f"{self.seq}-{self.mark}" if self.mark else "0"


BEGINNING = Place(0, "00000000")
"""Before the very first entry of a feed."""

OLDEST = Place(0, "")
"""Before the oldest entry that is kept, whichever that is."""


def parse_place(text: str) -> Place:
    """The place that `text`, the id of an event of a stream, names. Raises: InvalidEventId."""
    if text == "0":
        return OLDEST
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidEventId("Send the id of an event of your stream, or 0 for all that is kept")
    return Place(int(found[1]), found[2])


def mark_of(event_id: UUID) -> str:
    """The mark of an event: eight digits of the random part of its id. Source: RFC 9562 section 5.7 (the layout)."""
    return event_id.hex[-8:]
