"""The JSON Schema (2020-12) of each event, for consumers in any language: its data, its envelope, an example of both.

Required is what every event of the type has had since the type exists: a field added later has a default, and is
missing in the events that are older than it.
"""

import inspect
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.envelope import CONTENT_TYPE, Envelope, Event, wrap
from events.fields import EVENT, MOMENT
from events.registry import PARTITIONS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXAMPLE_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FACTS = "x-event"
"""The annotation of a schema that says how the event travels: topic, key, partitions, content type."""

_ENVELOPE = {
    "specversion": "The version of CloudEvents.",
    "id": "UUIDv7, unique: a redelivered event has the same one.",
    "source": "The service that published it.",
    "type": "What happened, with the version of the data.",
    "subject": "The message key, and the field of the data that it is.",
    "time": "When it was published; RFC 3339, UTC, ends in Z.",
    "datacontenttype": "The form of the data.",
    "sequence": "1, 2, 3 … for each key of a topic, without a gap; a decimal string.",
    "traceparent": "W3C Trace Context of what caused it.",
}


def summary(event: type[Event]) -> str:
    """What happened, in a sentence or two."""
    return " ".join((inspect.getdoc(event) or "").split())


def facts(event: type[Event]) -> dict[str, Any]:
    """How the event travels on Kafka."""
    return {
        "topic": event.topic(),
        "key": event.key_field,
        "partitions": PARTITIONS,
        "headers": {"content-type": CONTENT_TYPE},
    }


def data_schema(event: type[Event]) -> Schema:
    """The schema of the event's data."""
    schema = event.model_json_schema(ref_template="#/$defs/{model}")
    schema["description"] = summary(event)
    for field in schema["properties"].values():
        field.pop("title", None)
    return schema | {"examples": [example(event)["data"]]}


def envelope_schema(event: type[Event], data: Schema) -> Schema:
    """The schema of the whole value of a message, in which `data` is the schema of its data (or leads to it)."""
    schema = Envelope.model_json_schema()
    properties = schema["properties"]
    for name, description in _ENVELOPE.items():
        properties[name] = {**_without_null(properties[name]), "description": description}
        properties[name].pop("title", None)
        properties[name].pop("default", None)
    properties["type"] = {"const": event.type_, "type": "string", "description": _ENVELOPE["type"]}
    properties["source"] = {"const": event.source(), "type": "string", "description": _ENVELOPE["source"]}
    properties["data"] = data
    required = [name for name in properties if name != "traceparent"]
    return {
        "title": event.__name__,
        "description": summary(event),
        "type": "object",
        "properties": properties,
        "required": required,
        "examples": [example(event)],
    }


def _without_null(schema: Schema) -> Schema:
    """A field of the envelope that has no value is not written."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return kinds[0] if kinds else schema


def event_schema(event: type[Event]) -> Schema:
    """The schema of one event type as a document of its own."""
    data = data_schema(event)
    definitions = data.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "$id": f"urn:btrst:event:{event.type_}",
        FACTS: facts(event),
        **envelope_schema(event, {"$ref": "#/$defs/Data"}),
        "$defs": {"Data": data, **definitions},
    }


def example(event: type[Event]) -> dict[str, Any]:
    """An event as it is on the wire, made of the examples of its fields.

    Raises: LookupError when a field has none; pydantic.ValidationError when they make no event.
    """
    values = {}
    for name, field in event.model_fields.items():
        if not field.examples or not field.description:
            raise LookupError(f"{event.__name__}.{name} has no description or no example: use events.fields.told")
        values[name] = field.examples[0]
    made = event.model_validate(values)
    moment = datetime.fromisoformat(MOMENT)
    envelope = wrap(made, event_id=UUID(EVENT), sequence=1, time=moment, traceparent=EXAMPLE_TRACE)
    found: dict[str, Any] = json.loads(envelope.to_bytes())
    return found
