"""The AsyncAPI 3.0 document of the events: built from their classes, so that it tells what is published."""

import inspect
import json
from functools import cache
from typing import Any

from chassis.bus import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES
from chassis.envelope import CONTENT_TYPE, Envelope, Event
from events.registry import EVENTS, PARTITIONS, TOPICS

Document = dict[str, Any]

_SCHEMA = "#/components/schemas/{model}"


def _summary(event: type[Event]) -> str:
    return (inspect.getdoc(event) or "").partition("\n")[0]


def _data_schemas() -> Document:
    """The schema of each event's data by class name, with what those refer to."""
    schemas: Document = {}
    for event in EVENTS.values():
        schema = event.model_json_schema(mode="serialization", ref_template=_SCHEMA)
        schemas.update(schema.pop("$defs", {}))
        schemas[event.__name__] = schema
    return schemas


def _message(event: type[Event]) -> Document:
    """What carries `event`: the envelope with its type and source fixed and its data described."""
    narrowed = {
        "type": {"const": event.type_},
        "source": {"const": event.source()},
        "data": {"$ref": _SCHEMA.format(model=event.__name__)},
    }
    return {
        "name": event.type_,
        "title": event.__name__,
        "summary": _summary(event),
        "contentType": CONTENT_TYPE,
        "headers": {"type": "object", "properties": {"content-type": {"const": CONTENT_TYPE}}},
        "payload": {"allOf": [{"$ref": _SCHEMA.format(model="Envelope")}, {"type": "object", "properties": narrowed}]},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"`{event.key_field}`, also the subject"}}},
    }


def _channel(topic: str) -> Document:
    types = [name for name, event in EVENTS.items() if event.topic() == topic]
    return {
        "address": topic,
        "summary": f"Published by {topic.partition('.')[0]}; in order for each key",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        "bindings": _kafka(MAX_RECORD_BYTES),
    }


def _kafka(max_bytes: int) -> Document:
    return {"kafka": {"partitions": PARTITIONS, "topicConfiguration": {"max.message.bytes": max_bytes}}}


def _dead_letters() -> Document:
    return {
        "address": "{topic}.{group}.dlq",
        "summary": "Copies of what a consumer group could not handle",
        "parameters": {
            "topic": {"description": "Where it came from", "enum": list(TOPICS)},
            "group": {"description": "The consumer group: the name of the service"},
        },
        "messages": {"dead_letter": {"$ref": "#/components/messages/dead_letter"}},
        "bindings": _kafka(MAX_DEAD_LETTER_BYTES),
    }


def _dead_letter() -> Document:
    names = ("dlq-reason", "dlq-partition", "dlq-offset", "dlq-attempts")
    return {
        "name": "dead_letter",
        "summary": "The original value, key and headers, with why and where it failed",
        "headers": {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": [*names]},
        "payload": {"description": "Whatever the bytes were; not always JSON"},
    }


def _operation(channel: str, messages: Document) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def build_document() -> Document:
    """Every topic as a channel, every event type as a message. Source: AsyncAPI 3.0.0, Kafka bindings 0.5.0."""
    channels = {topic: _channel(topic) for topic in TOPICS} | {"dead_letters": _dead_letters()}
    envelope = Envelope.model_json_schema(mode="serialization", ref_template=_SCHEMA)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "BTRST Network events",
            "version": "1",
            "description": "CloudEvents 1.0 in structured JSON; `sequence` counts 1, 2, 3 … for each key, no gap.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": {f"send_{name}": _operation(name, channel["messages"]) for name, channel in channels.items()},
        "components": {
            "messages": {name: _message(event) for name, event in EVENTS.items()} | {"dead_letter": _dead_letter()},
            "schemas": {"Envelope": envelope, **_data_schemas()},
        },
    }


@cache
def document_bytes() -> bytes:
    """The document as it is served; built when it is first asked for."""
    return json.dumps(build_document(), indent=1, ensure_ascii=False).encode()
