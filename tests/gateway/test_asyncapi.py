"""The document of the events tells all of them, and tells the truth."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, ValidationError

from chassis.envelope import wrap
from events.identity import MemberRegistered
from events.registry import EVENTS, PARTITIONS, TOPICS
from gateway.asyncapi import build_document
from tests.gateway.servers import Client

DOCUMENT = build_document()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_topic_is_a_channel_with_every_type_of_its_events() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    channels = {name: channel for name, channel in DOCUMENT["channels"].items() if name != "dead_letters"}
    assert {channel["address"] for channel in channels.values()} == set(TOPICS)
    found = {(name, type_) for name, channel in channels.items() for type_ in channel["messages"]}
    assert found == {(event.topic(), type_) for type_, event in EVENTS.items()}
    assert all(channel["bindings"]["kafka"]["partitions"] == PARTITIONS for channel in channels.values())
    sent = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert sent == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > len(EVENTS)
    for reference in found:
        assert resolve(reference), reference


@pytest.mark.parametrize("type_", EVENTS)
def test_each_message_describes_each_field_of_its_data(type_: str) -> None:
    message = DOCUMENT["components"]["messages"][type_]
    narrowed = message["payload"]["allOf"][1]["properties"]
    assert (narrowed["type"], narrowed["source"]) == ({"const": type_}, {"const": EVENTS[type_].source()})
    assert set(resolve(narrowed["data"]["$ref"])["properties"]) == set(EVENTS[type_].model_fields)
    assert message["summary"]


def test_a_published_event_is_what_its_message_says() -> None:
    now, member_id = datetime.now(UTC), UUID(int=7)
    event = MemberRegistered(member_id=member_id, roles=["client"], connector_id=None, registered_at=now)
    published = json.loads(wrap(event, event_id=member_id, sequence=1, time=now, traceparent=None).to_bytes())
    payload = DOCUMENT["components"]["messages"][event.type_]["payload"]
    validator = Draft202012Validator({**payload, "components": DOCUMENT["components"]})
    validator.validate(published)
    for spoilt in ({**published, "type": "x"}, {**published, "data": {}}, {**published, "sequence": "0"}):
        with pytest.raises(ValidationError):
            validator.validate(spoilt)


async def test_the_gateway_serves_it_to_anyone(client: Client) -> None:
    async with client.connection() as wire:
        answer = await wire.call("GET", "/asyncapi.json")
        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        assert json.loads(answer.body) == DOCUMENT
        assert (await wire.call("GET", "/asyncapi.json", f"If-None-Match: {answer.header('etag')}")).status == 304
