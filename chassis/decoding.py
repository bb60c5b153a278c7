"""From the bytes of a delivery to an event, or to the reason why it is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from chassis import strict_json
from chassis.bus import Delivery
from chassis.envelope import Envelope, Event
from chassis.errors import BadRequest

MAX_VALUE_BYTES = 1_000_000
Registry = Mapping[str, type[Event]]


class Poison(Exception):
    """No event: no retry will make it one. The message is the reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it came: what happened, how it travelled, and where it stood."""

    delivery: Delivery
    envelope: Envelope
    event: Event


def known_events() -> dict[str, type[Event]]:
    """Every event class of this process by its type: whoever handles one has imported its whole topic."""
    return {event.type_: event for event in _descendants(Event) if "type_" in vars(event)}


def _descendants(event: type[Event]) -> Iterator[type[Event]]:
    for child in event.__subclasses__():
        yield child
        yield from _descendants(child)


def decode(delivery: Delivery, registry: Registry) -> Message:
    """The event in `delivery`.

    Raises: Poison for everything that is not exactly an event of the registry, on its topic, under its key.
    """
    record = delivery.record
    if not record.value:
        raise Poison("empty value")
    if len(record.value) > MAX_VALUE_BYTES:
        raise Poison(f"too large: {len(record.value)} bytes")
    if record.key is None:
        raise Poison("null key")
    envelope = _envelope(record.value)
    if envelope.subject.encode() != record.key:
        raise Poison("the key is not the subject")
    event_type = registry.get(envelope.type)
    if event_type is None:
        raise Poison(f"unknown type {envelope.type}")
    if event_type.topic() != record.topic:
        raise Poison(f"{envelope.type} does not belong on {record.topic}")
    try:
        event = event_type.model_validate(envelope.data)
    except ValidationError as error:
        raise Poison(f"wrong schema: {_first_fault(error)}") from error
    if event.key() != envelope.subject:
        raise Poison("the subject is not the event's key")
    return Message(delivery, envelope, event)


def _envelope(value: bytes) -> Envelope:
    try:
        return Envelope.model_validate(strict_json.load(value))
    except BadRequest as error:
        raise Poison(f"not JSON: {error.detail}") from error
    except ValidationError as error:
        raise Poison(f"not an envelope: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['msg']}"[:300]
