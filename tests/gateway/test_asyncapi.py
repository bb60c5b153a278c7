"""The document of the events tells all of them, and tells the truth."""

import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, ValidationError

from chassis.bus import dead_letter_topic
from chassis.envelope import CONTENT_TYPE, wrap
from events.identity import MemberRegistered
from events.registry import EVENTS, PARTITIONS, TOPICS
from gateway import asyncapi
from scripts.asyncapi import groups_of_services, main, published_types
from tests.gateway.servers import Client

DOCUMENT = json.loads(asyncapi.document_bytes())
GROUPS = groups_of_services()
ROOT = Path(__file__).resolve().parents[2]


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
    channels = {name: channel for name, channel in DOCUMENT["channels"].items() if not name.endswith(".dlq")}
    assert {channel["address"] for channel in channels.values()} == set(TOPICS)
    found = {(name, type_) for name, channel in channels.items() for type_ in channel["messages"]}
    assert found == {(event.topic(), type_) for type_, event in EVENTS.items()}
    for name, channel in DOCUMENT["channels"].items():
        binding = channel["bindings"]["kafka"]
        assert (binding["topic"], binding["partitions"]) == (name, PARTITIONS)
        most = 8 if name.endswith(".dlq") else 4
        assert binding["topicConfiguration"]["max.message.bytes"] == most * 2**20


def test_each_service_sends_what_its_card_says() -> None:
    sent = {
        reference["$ref"].rpartition("/")[2]: (name, operation["channel"]["$ref"].rpartition("/")[2])
        for name, operation in DOCUMENT["operations"].items()
        if operation["action"] == "send" and not name.endswith(".dlq")
        for reference in operation["messages"]
    }
    assert sent.keys() == published_types()
    for type_, (name, channel) in sent.items():
        assert channel == EVENTS[type_].topic()
        assert name == f"{type_.partition('.')[0]}.send.{channel}"


def test_each_consumer_group_receives_what_it_handles_and_has_its_dead_letters() -> None:
    assert GROUPS.keys() == {"identity", "jobs", "rewards"}
    received = {
        (operation["bindings"]["kafka"]["groupId"]["const"], reference["$ref"].rpartition("/")[2])
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "receive"
        for reference in operation["messages"]
    }
    assert received == {(group, event.type_) for group, events in GROUPS.items() for event in events}
    dead = {dead_letter_topic(event.topic(), group) for group, events in GROUPS.items() for event in events}
    assert dead == {name for name in DOCUMENT["channels"] if name.endswith(".dlq")}
    assert dead == {name.partition(".send.")[2] for name in DOCUMENT["operations"] if name.endswith(".dlq")}
    headers = DOCUMENT["components"]["messages"]["dead_letter"]["headers"]
    assert headers["required"] == ["dlq-reason", "dlq-partition", "dlq-offset", "dlq-attempts"]


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > len(EVENTS)
    for reference in found:
        assert resolve(reference), reference


@pytest.mark.parametrize("type_", EVENTS)
def test_each_message_describes_each_field_of_its_data_and_shows_an_example(type_: str) -> None:
    message, event = DOCUMENT["components"]["messages"][type_], EVENTS[type_]
    payload = resolve(message["payload"]["$ref"])
    assert (payload["properties"]["type"]["const"], payload["properties"]["source"]["const"]) == (type_, event.source())
    data = resolve(payload["properties"]["data"]["$ref"])
    assert set(data["properties"]) == set(event.model_fields)
    assert all(field["description"] for field in data["properties"].values())
    assert message["summary"]
    assert event.key_field in message["bindings"]["kafka"]["key"]["description"]
    for shown in message["examples"]:
        assert shown["headers"] == {"content-type": CONTENT_TYPE}
        validator(message).validate(shown["payload"])


def validator(message: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**message["payload"], "components": DOCUMENT["components"]})


def test_a_published_event_is_what_its_message_says() -> None:
    now, member_id = datetime.now(UTC), UUID(int=7)
    event = MemberRegistered(member_id=member_id, roles=["client"], connector_id=None, registered_at=now)
    published = json.loads(wrap(event, event_id=member_id, sequence=1, time=now, traceparent=None).to_bytes())
    checked = validator(DOCUMENT["components"]["messages"][event.type_])
    checked.validate(published)
    for spoilt in ({**published, "type": "x"}, {**published, "data": {}}, {**published, "sequence": "0"}):
        with pytest.raises(ValidationError):
            checked.validate(spoilt)


def test_a_stale_document_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    path = tmp_path / "asyncapi.json"
    monkeypatch.setattr("scripts.asyncapi.DOCUMENT", path)
    monkeypatch.setattr("scripts.asyncapi.ROOT", tmp_path)
    assert main(["--check"]) == 1
    assert "asyncapi.json is stale" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0


def linted(path: Path) -> subprocess.CompletedProcess[str]:
    """What @asyncapi/parser says of a document."""
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    command = ["node", str(ROOT / "scripts/asyncapi_lint.mjs"), str(path)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_parser_accepts_the_document() -> None:
    said = linted(asyncapi.DOCUMENT)
    assert said.returncode == 0, said.stderr
    counted = {name: len(DOCUMENT[name]) for name in ("channels", "operations")}
    messages = len(DOCUMENT["components"]["messages"])
    assert said.stdout == f"{counted['channels']} channels, {counted['operations']} operations, {messages} messages\n"


SPOILT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "invalid-ref": lambda d: d["components"]["messages"].pop("dead_letter"),
    '"action" property must be equal': lambda d: d["operations"]["jobs.send.jobs.job"].update(action="shout"),
}


@pytest.mark.parametrize("expected", SPOILT)
def test_the_parser_refuses_what_is_no_asyncapi(expected: str, tmp_path: Path) -> None:
    spoilt = copy.deepcopy(DOCUMENT)
    SPOILT[expected](spoilt)
    path = tmp_path / "spoilt.json"
    path.write_bytes(asyncapi.to_bytes(spoilt))
    said = linted(path)
    assert said.returncode == 1
    assert expected in said.stderr


async def test_the_gateway_serves_it_to_anyone(client: Client) -> None:
    async with client.connection() as wire:
        answer = await wire.call("GET", "/asyncapi.json")
        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        assert json.loads(answer.body) == DOCUMENT
        assert (await wire.call("GET", "/asyncapi.json", f"If-None-Match: {answer.header('etag')}")).status == 304
