"""The contract of the events: what was released stays, and the comparison that says so sees what it must."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import Field

from chassis.clock import Timestamp
from chassis.envelope import Event
from chassis.money import MAX_CENTS
from events.fields import cents, told
from events.identity import MemberRegistered
from events.jobs import TransactionCompleted
from events.registry import EVENTS
from events.rewards import RewardHeld
from events.schemas import event_schema
from scripts import event_docs
from scripts.event_docs import RELEASED, build_schemas
from scripts.events_compat import breaking_changes
from tests.compat.variants import variant

Schemas = dict[str, Any]
COMPLETED = TransactionCompleted.type_
HELD = RewardHeld.type_


def changes(event: type[Event], changed: type[Event]) -> list[str]:
    """What the gate says of a changed class."""
    return breaking_changes({event.type_: event_schema(event)}, {event.type_: event_schema(changed)})


def test_today_s_events_break_nothing_that_was_released() -> None:
    released = json.loads(RELEASED.read_bytes())
    assert len(released) >= 31
    assert breaking_changes(released, build_schemas()) == []


ADDITIONS: dict[str, tuple[type[Event], type[Event]]] = {
    "nothing at all": (TransactionCompleted, variant(TransactionCompleted)),
    "an optional field": (
        TransactionCompleted,
        variant(TransactionCompleted, note=(Annotated[str, told("A word with it.", "Thanks")], "")),
    ),
    "a nullable field": (
        RewardHeld,
        variant(RewardHeld, until=(Annotated[Timestamp | None, told("Until when.", None)], None)),
    ),
    "a better description": (
        TransactionCompleted,
        variant(TransactionCompleted, provider=(Annotated[str, told("Who moved the money, in lower case.", "x")], ...)),
    ),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_to_a_real_event_passes(name: str) -> None:
    assert changes(*ADDITIONS[name]) == []


BREAKING: dict[str, tuple[type[Event], type[Event]]] = {
    "amount_cents is gone": (TransactionCompleted, variant(TransactionCompleted, without="amount_cents")),
    "provider is gone": (
        TransactionCompleted,
        variant(TransactionCompleted, without="provider", processor=(Annotated[str, told("Renamed.", "x")], "")),
    ),
    "amount_cents: integer became string": (
        TransactionCompleted,
        variant(TransactionCompleted, amount_cents=(Annotated[str, told("Retyped.", "1")], ...)),
    ),
    "invoice_id: string uuid became string": (
        TransactionCompleted,
        variant(TransactionCompleted, invoice_id=(Annotated[str, told("Any text.", "x")], ...)),
    ),
    "side: null or string became string": (
        RewardHeld,
        variant(RewardHeld, side=(Annotated[Literal["client", "talent"], told("Never null.", "client")], ...)),
    ),
    "refund_id: string uuid became null or string uuid": (
        EVENTS["jobs.transaction.refunded.v1"],
        variant(
            EVENTS["jobs.transaction.refunded.v1"], refund_id=(Annotated[UUID | None, told("Or null.", None)], ...)
        ),
    ),
    "kind: takes fewer values now": (
        RewardHeld,
        variant(RewardHeld, kind=(Annotated[Literal["connector", "grant"], told("Narrowed.", "grant")], ...)),
    ),
    "roles[]: may hold other values now": (
        MemberRegistered,
        variant(
            MemberRegistered,
            roles=(
                Annotated[
                    list[Literal["client", "talent", "connector", "screener", "admin", "judge"]],
                    told("Widened.", ["judge"]),
                ],
                ...,
            ),
        ),
    ),
    "amount_cents: minimum 1 became 100 (narrower)": (
        TransactionCompleted,
        variant(TransactionCompleted, amount_cents=(Annotated[int, cents("x", 100)], Field(ge=100, le=MAX_CENTS))),
    ),
    "amount_cents: maximum 10000000000000 became 20000000000000 (wider)": (
        TransactionCompleted,
        variant(TransactionCompleted, amount_cents=(Annotated[int, cents("x", 1)], Field(ge=1, le=2 * MAX_CENTS))),
    ),
    "provider: maxLength None became 20 (narrower)": (
        TransactionCompleted,
        variant(TransactionCompleted, provider=(Annotated[str, told("x", "sandbox")], Field(max_length=20))),
    ),
    "note is required now": (
        TransactionCompleted,
        variant(TransactionCompleted, note=(Annotated[str, told("Newly certain.", "x")], ...)),
    ),
    "provider may be missing now": (
        TransactionCompleted,
        variant(TransactionCompleted, provider=(Annotated[str, told("x", "sandbox")], "sandbox")),
    ),
    "key transaction_id became invoice_id": (TransactionCompleted, variant(TransactionCompleted, key="invoice_id")),
}


@pytest.mark.parametrize("expected", BREAKING)
def test_a_breaking_change_of_a_real_event_is_named(expected: str) -> None:
    found = changes(*BREAKING[expected])
    assert any(expected in line for line in found), found


def test_another_topic_or_a_removed_event_is_named() -> None:
    moved = event_schema(variant(TransactionCompleted, type_="jobs.payment.completed.v1"))
    found = breaking_changes({COMPLETED: event_schema(TransactionCompleted)}, {COMPLETED: moved})
    assert f"{COMPLETED}: topic jobs.transaction became jobs.payment" in found
    assert breaking_changes({COMPLETED: event_schema(TransactionCompleted)}, {}) == [f"{COMPLETED} is gone"]
    assert breaking_changes({}, {COMPLETED: event_schema(TransactionCompleted)}) == []


SPOILT: dict[str, Callable[[Schemas], Any]] = {
    "partitions 6 became 12": lambda s: s["x-event"].update(partitions=12),
    "headers": lambda s: s["x-event"].update(headers={}),
    ".sequence: pattern": lambda s: s["properties"]["sequence"].update(pattern="^[0-9]+$"),
    ".traceparent is gone": lambda s: s["properties"].pop("traceparent"),
    ".source: may hold other values now": lambda s: s["properties"]["source"].update(const="/services/money"),
    "closed": lambda s: s["$defs"]["Data"].update(additionalProperties=False),
    "dependentRequired": lambda s: s["$defs"]["Data"].update(dependentRequired={"side": ["kind"]}),
    "chain_tx_hash: default None became x": lambda s: s["$defs"]["Data"]["properties"]["chain_tx_hash"].update(
        default="x"
    ),
}


@pytest.mark.parametrize("expected", SPOILT)
def test_a_change_of_how_it_travels_is_named(expected: str) -> None:
    old = event_schema(RewardHeld)
    new = copy.deepcopy(old)
    SPOILT[expected](new)
    found = breaking_changes({HELD: old}, {HELD: new})
    assert any(expected in line for line in found), found


def test_the_order_of_alternatives_does_not_matter() -> None:
    old = event_schema(RewardHeld)
    new = copy.deepcopy(old)
    new["$defs"]["Data"]["properties"]["side"]["anyOf"].reverse()
    assert breaking_changes({HELD: old}, {HELD: new}) == []


def test_the_command_refuses_to_release_or_pass_a_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "released.json"
    released.write_bytes(RELEASED.read_bytes())
    monkeypatch.setattr(event_docs, "RELEASED", released)
    monkeypatch.setattr(event_docs, "FOLDER", tmp_path / "events")
    monkeypatch.setattr(event_docs, "PAGE", tmp_path / "events.md")
    monkeypatch.setattr(event_docs, "ROOT", tmp_path)
    assert event_docs.main([]) == 0
    assert event_docs.main(["--check"]) == 0
    monkeypatch.setitem(EVENTS, COMPLETED, variant(TransactionCompleted, without="provider"))
    for option in ("--check", "--release"):
        assert event_docs.main([option]) == 1
        assert f"{COMPLETED}.data.provider is gone" in capsys.readouterr().err
    note = (Annotated[str, told("A word with it.", "Thanks")], "")
    monkeypatch.setitem(EVENTS, COMPLETED, variant(TransactionCompleted, note=note))
    assert event_docs.main(["--check"]) == 1
    assert f"stale: events/{COMPLETED}.json, events.md; run `make events`" in capsys.readouterr().err
    assert event_docs.main(["--release"]) == 0
    assert event_docs.main(["--check"]) == 0
    assert "note" in json.loads(released.read_bytes())[COMPLETED]["$defs"]["Data"]["properties"]
