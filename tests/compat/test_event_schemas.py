"""The schemas that consumers validate with: standard JSON Schema, complete, and true of what is published."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, ValidationError

from chassis.clock import utc_now
from chassis.envelope import Event, wrap
from events.registry import EVENTS
from events.schemas import DIALECT, event_schema, example
from scripts.event_docs import FOLDER, PAGE, build_files, stale
from tests.compat.variants import variant

UNITS = {"_cents": "USD cents", "_wei": "wei", "_e8": "10^8", "_at": "RFC 3339"}


def validator(type_: str) -> Draft202012Validator:
    """Of the file that consumers get."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{type_}.json").read_bytes())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_there_is_a_fresh_schema_for_every_event_and_no_other() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(EVENTS)
    assert stale(build_files()) == []


@pytest.mark.parametrize("type_", EVENTS)
def test_a_schema_is_one_and_its_examples_are_such_events(type_: str) -> None:
    checked = validator(type_)
    Draft202012Validator.check_schema(checked.schema)
    schema = checked.schema
    assert schema["$schema"] == DIALECT
    assert schema["title"] == EVENTS[type_].__name__
    assert schema["description"]
    assert schema["examples"]
    for shown in schema["examples"]:
        checked.validate(shown)
        assert EVENTS[type_].model_validate(shown["data"]).key() == shown["subject"]
    data = Draft202012Validator({**schema["$defs"]["Data"], "$defs": schema["$defs"]})
    for shown in schema["$defs"]["Data"]["examples"]:
        data.validate(shown)


@pytest.mark.parametrize("type_", EVENTS)
def test_every_field_is_described_with_its_unit(type_: str) -> None:
    properties = event_schema(EVENTS[type_])["$defs"]["Data"]["properties"]
    assert set(properties) == set(EVENTS[type_].model_fields)
    for name, field in properties.items():
        assert field["description"], name
        assert field["examples"], name
        unit = re.search(r"(_cents|_wei|_e8|_at)$", name)
        if unit:
            assert UNITS[unit[1]] in field["description"], name


def test_a_field_without_a_description_is_refused() -> None:
    event = EVENTS["jobs.job.closed.v1"]
    with pytest.raises(LookupError, match="note has no description or no example"):
        event_schema(variant(event, note=(str, "")))


def test_a_newer_event_passes_the_older_schema_and_the_other_way_round() -> None:
    """What `additive` means: unknown fields pass, and a field that came later may be missing."""
    type_ = "rewards.reward.accrued.v1"
    newer = example(EVENTS[type_])
    newer["data"]["invented_later"] = {"any": "thing"}
    newer["extension"] = "of a newer envelope"
    validator(type_).validate(newer)
    older = example(EVENTS[type_])
    del older["data"]["chain_tx_hash"]
    del older["traceparent"]
    validator(type_).validate(older)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sequence",), "0"),
        (("type",), "jobs.job.opened.v1"),
        (("source",), "/services/rewards"),
        (("id",), 7),
        (("data", "amount_cents"), "1"),
        (("data", "amount_cents"), 0),
        (("data", "currency"), "EUR"),
    ],
)
def test_what_is_no_such_event_is_refused(path: tuple[str, ...], value: Any) -> None:
    type_ = "jobs.transaction.completed.v1"
    spoilt = node = example(EVENTS[type_])
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    with pytest.raises(ValidationError):
        validator(type_).validate(spoilt)


def test_an_event_without_a_trace_is_one_too() -> None:
    type_ = "jobs.job.closed.v1"
    event: Event = EVENTS[type_].model_validate(example(EVENTS[type_])["data"])
    envelope = wrap(event, event_id=UUID(int=1), sequence=3, time=utc_now(), traceparent=None)
    validator(type_).validate(json.loads(envelope.to_bytes()))


def test_the_page_tells_every_topic_type_and_field() -> None:
    text = PAGE.read_text()
    for type_, event in EVENTS.items():
        section = text.split(f"## {type_}\n")[1].split("\n## ")[0]
        assert f"(events/{type_}.json)" in section
        assert f"| `{event.topic()}` | `{event.key_field}` | 6 |" in text
        for name in event.model_fields:
            assert f"| `{name}` |" in section
