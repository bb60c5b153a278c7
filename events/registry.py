"""All events and topics, found by looking through the modules of this package."""

from itertools import chain

from chassis.envelope import Event
from events import governance, identity, jobs, rewards

PARTITIONS = 6
"""Partitions of every topic, never changed: a key must stay in its partition."""


def _events_of(module: object) -> list[type[Event]]:
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Event)]
    return [event for event in found if event.__module__ == module.__name__ and "type_" in vars(event)]  # type: ignore[attr-defined]


EVENTS: dict[str, type[Event]] = {
    event.type_: event for event in chain.from_iterable(map(_events_of, (identity, jobs, rewards, governance)))
}
"""CloudEvents type → class."""

TOPICS: tuple[str, ...] = tuple(sorted({event.topic() for event in EVENTS.values()}))
