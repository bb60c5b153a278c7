"""The AsyncAPI 3.0 document of the events: built from their classes, so that it tells what is published.

What the gateway serves is the committed document beside this file, since it may not import the services that say who
reads what; `scripts/asyncapi.py` builds it and says when it is stale.
"""

import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chassis.bus import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, dead_letter_topic
from chassis.envelope import CONTENT_TYPE, Event
from events.registry import EVENTS, PARTITIONS, TOPICS
from events.schemas import data_schema, envelope_schema, example, summary

Document = dict[str, Any]
Groups = Mapping[str, Collection[type[Event]]]
"""Consumer group → the events it handles."""

DOCUMENT = Path(__file__).with_name("asyncapi.json")
BINDING = "0.5.0"
_SCHEMA = "#/components/schemas/{name}"
_DESCRIPTION = """\
Facts of the BTRST Network, published on Apache Kafka as CloudEvents 1.0 in structured JSON. Delivery is at least once:
a repeated event has the same `id`. Events of one key come in order, and `sequence` counts them 1, 2, 3 … without a gap;
between keys and between topics there is no order. Only additions are made to a type; anything else is a new type
(`.v2`) beside it. Ignore types and fields you do not know."""


def _kafka(**values: Any) -> Document:
    return {"kafka": {**values, "bindingVersion": BINDING}}


def _topic_binding(topic: str, max_bytes: int) -> Document:
    configuration = {"cleanup.policy": ["delete"], "max.message.bytes": max_bytes}
    return _kafka(topic=topic, partitions=PARTITIONS, topicConfiguration=configuration)


def _message(event: type[Event]) -> Document:
    """What carries `event`: the envelope with its type and source fixed and its data described."""
    key = {"type": "string", "description": f"`{event.key_field}` of the data, also the envelope's subject"}
    headers = {
        "type": "object",
        "properties": {"content-type": {"type": "string", "const": CONTENT_TYPE}},
        "required": ["content-type"],
    }
    return {
        "name": event.type_,
        "title": event.__name__,
        "summary": summary(event),
        "contentType": CONTENT_TYPE,
        "headers": headers,
        "payload": {"$ref": _SCHEMA.format(name=f"{event.__name__}Event")},
        "bindings": _kafka(key=key),
        "examples": [
            {"name": event.__name__, "headers": {"content-type": CONTENT_TYPE}, "payload": example(event)},
        ],
    }


def _channel(topic: str) -> Document:
    types = [name for name, event in EVENTS.items() if event.topic() == topic]
    keys = sorted({EVENTS[name].key_field for name in types})
    return {
        "address": topic,
        "summary": f"Published by {topic.partition('.')[0]}, in order for each {' or '.join(keys)}",
        "servers": [{"$ref": "#/servers/plain"}, {"$ref": "#/servers/secured"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        "bindings": _topic_binding(topic, MAX_RECORD_BYTES),
    }


def _dead_letter_channel(topic: str, group: str) -> Document:
    address = dead_letter_topic(topic, group)
    return {
        "address": address,
        "summary": f"Copies of what {group} could not handle of {topic}",
        "servers": [{"$ref": "#/servers/plain"}, {"$ref": "#/servers/secured"}],
        "messages": {"dead_letter": {"$ref": "#/components/messages/dead_letter"}},
        "bindings": _topic_binding(address, MAX_DEAD_LETTER_BYTES),
    }


def _dead_letter() -> Document:
    told = {
        "dlq-reason": "Why it could not be handled",
        "dlq-partition": "The partition it came from",
        "dlq-offset": "Its offset there",
        "dlq-attempts": "How often it was tried",
    }
    headers = {name: {"type": "string", "description": text} for name, text in told.items()}
    return {
        "name": "dead_letter",
        "title": "DeadLetter",
        "summary": "The original value, key and headers, with why and where it failed",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers, "required": [*told]},
        "payload": {"description": "Whatever the bytes were; not always JSON"},
        "bindings": _kafka(key={"type": "string", "description": "The original key; may be missing"}),
        "examples": [
            {
                "name": "NotJson",
                "headers": {
                    "dlq-reason": "not JSON: unexpected end",
                    "dlq-partition": "4",
                    "dlq-offset": "17",
                    "dlq-attempts": "1",
                },
                "payload": "{",
            },
        ],
    }


def _operation(action: str, channel: str, messages: Collection[str], told: str, **binding: Any) -> Document:
    operation = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": told,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
    return operation | ({"bindings": _kafka(**binding)} if binding else {})


def _sending(published: Collection[str]) -> Document:
    """An operation for each topic with the types that are published today."""
    found: Document = {}
    for topic in TOPICS:
        types = [name for name in EVENTS if EVENTS[name].topic() == topic and name in published]
        if types:
            service = topic.partition(".")[0]
            found[f"{service}.send.{topic}"] = _operation("send", topic, types, f"{service} tells what happened")
    return found


def _receiving(groups: Groups) -> Document:
    """For each consumer group what it reads, and where its dead letters go."""
    found: Document = {}
    for group, events in groups.items():
        for topic in sorted({event.topic() for event in events}):
            types = sorted(event.type_ for event in events if event.topic() == topic)
            name, dead = f"{group}.receive.{topic}", dead_letter_topic(topic, group)
            group_id = {"type": "string", "const": group}
            found[name] = _operation("receive", topic, types, f"{group} handles them", groupId=group_id)
            found[f"{group}.send.{dead}"] = _operation(
                "send", dead, ["dead_letter"], f"{group} gives up on a message of {topic}"
            )
    return found


def _servers() -> Document:
    host = {"host": "{bootstrap}", "variables": {"bootstrap": {"default": "localhost:9092"}}}
    known = ("scramSha512", "scramSha256", "plain", "certificate")
    return {
        "plain": {**host, "protocol": "kafka", "description": "A broker that asks for nothing (development)"},
        "secured": {
            **host,
            "protocol": "kafka-secure",
            "description": "TLS, with SASL or a client certificate",
            "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in known],
        },
    }


def _schemas() -> Document:
    """For each event the schema of its data by class name, and of the whole message with `Event` after it."""
    schemas: Document = {}
    for event in EVENTS.values():
        data = data_schema(event)
        schemas[event.__name__] = data
        schemas[f"{event.__name__}Event"] = envelope_schema(event, {"$ref": _SCHEMA.format(name=event.__name__)})
    return schemas


def build_document(groups: Groups, published: Collection[str]) -> Document:
    """Every topic as a channel, every event type as a message, who sends (`published`) and who receives (`groups`).

    Source: AsyncAPI 3.0.0, Kafka bindings 0.5.0.
    """
    dead = {
        dead_letter_topic(topic, group): _dead_letter_channel(topic, group)
        for group, events in groups.items()
        for topic in sorted({event.topic() for event in events})
    }
    return {
        "asyncapi": "3.0.0",
        "id": "urn:btrst:events",
        "info": {
            "title": "BTRST Network events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
            "contact": {"name": "The maintainers of the BTRST Network"},
            "tags": [{"name": "events"}],
        },
        "servers": _servers(),
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic: _channel(topic) for topic in TOPICS} | dict(sorted(dead.items())),
        "operations": _sending(published) | _receiving(groups),
        "components": {
            "messages": {name: _message(event) for name, event in EVENTS.items()} | {"dead_letter": _dead_letter()},
            "schemas": _schemas(),
            "securitySchemes": {
                "scramSha512": {"type": "scramSha512", "description": "KAFKA_SASL_MECHANISM=SCRAM-SHA-512"},
                "scramSha256": {"type": "scramSha256", "description": "KAFKA_SASL_MECHANISM=SCRAM-SHA-256"},
                "plain": {"type": "plain", "description": "KAFKA_SASL_MECHANISM=PLAIN, only over TLS"},
                "certificate": {"type": "X509", "description": "KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE"},
            },
        },
    }


def to_bytes(document: Document) -> bytes:
    """The document as it is committed and served."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


@cache
def document_bytes() -> bytes:
    """The committed document; read when it is first asked for."""
    return DOCUMENT.read_bytes()
