"""The command that tails, publishes, and deals with parked events, on a real log."""

import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from chassis import inbox
from chassis.bus import Delivery
from chassis.decoding import decode
from chassis.testing import create_database, drop_database
from events.registry import EVENTS
from scripts.events import app
from tests.chassis.messaging.samples import REGISTRY, Recorder, database_with_tables, effects_of, placed

COMPLETED = "jobs.transaction"


@pytest.fixture
def dsn(postgres_dsn: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"script_{abs(hash(request.node.name))}"
    yield asyncio.run(create_database(postgres_dsn, name))
    asyncio.run(drop_database(postgres_dsn, name))


def run(*arguments: str, stdin: bytes = b"") -> Any:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_bytes_go_in_and_come_out_as_they_are(dsn: str) -> None:
    bodies = [b'{"a": 1}', b'{"a": NaN}', b'{"a": 1e400}', b"\xff\x00", b"", b"x" * 2_000_000, b'"text"']
    for number, body in enumerate(bodies):
        key = ["--null-key"] if number == 1 else [f"key-{number}"]
        assert run("publish", COMPLETED, *key, "--bus-url", dsn, stdin=body).exit_code == 0
    found = lines(run("tail", COMPLETED, "--from", "0", "--once", "--bus-url", dsn))
    assert all(line.keys() >= {"topic", "partition", "offset", "key", "headers"} for line in found)
    assert {line["headers"]["content-type"] for line in found} == {"application/cloudevents+json"}
    back = {line["key"]: line for line in found}
    assert back["key-0"]["value"] == {"a": 1}
    assert back["key-6"]["value"] == "text"
    for key, number in ((None, 1), ("key-2", 2), ("key-3", 3), ("key-4", 4), ("key-5", 5)):
        assert base64.b64decode(back[key]["value_base64"]) == bodies[number]
        assert "value" not in back[key]


def test_tail_ends_after_as_many_as_it_is_told(dsn: str) -> None:
    for _ in range(3):
        run("publish", COMPLETED, "k", "--header", "a=b", "--bus-url", dsn, stdin=b"1")
    found = lines(run("tail", COMPLETED, "--from", "1", "--max", "2", "--bus-url", dsn))
    assert [(line["offset"], line["headers"]) for line in found] == [(1, {"a": "b"}), (2, {"a": "b"})]


def test_what_cannot_be_done_is_one_line(dsn: str) -> None:
    for arguments in (
        ("publish", "no.such", "k", "--bus-url", dsn),
        ("tail", COMPLETED, "--bus-url", "kafka://127.0.0.1:1"),
        ("tail", COMPLETED, "--once", "--bus-url", "postgresql://x@127.0.0.1:1/none"),
        ("parked", "replay", "nothing"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert run("publish", COMPLETED, "--bus-url", dsn).exit_code == 2
    assert run("publish", COMPLETED, "k", "--null-key", "--bus-url", dsn).exit_code == 2


def test_every_topic_can_be_created_ahead(dsn: str) -> None:
    assert run("create-topics", "--bus-url", dsn).exit_code == 0
    for topic in {event.topic() for event in EVENTS.values()}:
        assert lines(run("tail", topic, "--from", "0", "--once", "--bus-url", dsn)) == []


async def _park(dsn: str) -> None:
    database = await database_with_tables(dsn)
    async with database.unit_of_work() as session:
        for number in range(2):
            message = decode(Delivery(placed("a", number), 4, number), REGISTRY)
            await inbox.park(session, "shop", message, reason="ValueError: no", attempts=5)
    await database.close()


async def _effects(dsn: str) -> dict[str, list[int]]:
    database = await database_with_tables(dsn)
    found = await effects_of(database)
    await database.close()
    return found


def test_parked_events_are_listed_shown_and_replayed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_park(dsn))
    found = lines(run("parked", "list", "shop", "--database-url", dsn))
    assert [(line["key"], line["reason"], line["attempts"]) for line in found] == [("a", "ValueError: no", 5)] * 2
    shown = json.loads(run("parked", "show", "shop", str(found[0]["id"]), "--database-url", dsn).stdout)
    assert shown["value"]["data"] == {"order": "a", "number": 0, "note": ""}
    assert (shown["partition"], shown["offset"]) == (4, 0)
    assert run("parked", "show", "shop", "999", "--database-url", dsn).exit_code == 1
    handlers = ModuleType("services.shop.handlers")
    recorder = Recorder()
    handlers.subscriptions = recorder.subscriptions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "services.shop", ModuleType("services.shop"))
    monkeypatch.setitem(sys.modules, "services.shop.handlers", handlers)
    monkeypatch.setattr("scripts.events.EVENTS", REGISTRY)
    recorder.broken = {"a"}
    failed = run("parked", "replay", "shop", "--database-url", dsn)
    assert (failed.exit_code, json.loads(failed.stdout)) == (1, {"done": 0, "failed": 1})
    recorder.broken = set()
    done = run("parked", "replay", "shop", "--key", "a", "--database-url", dsn)
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"done": 2, "failed": 0})
    assert asyncio.run(_effects(dsn)) == {"a": [0, 1]}
    assert lines(run("parked", "list", "shop", "--database-url", dsn)) == []


def test_the_running_system_is_found_through_its_folder(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    missing = run("tail", COMPLETED, "--once")
    assert missing.exit_code == 1
    assert str(tmp_path / "endpoints.json") in missing.output
    (tmp_path / "endpoints.json").write_text(json.dumps({"kafka": None, "dsn": {"events": dsn}}))
    assert run("publish", COMPLETED, "k", stdin=b"{}").exit_code == 0
    assert [line["key"] for line in lines(run("tail", COMPLETED, "--from", "0", "--once"))] == ["k"]
