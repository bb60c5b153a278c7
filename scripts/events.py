"""Look at the bus, write to it, and deal with parked events: `python -m scripts.events --help`.

The bus is found through `.run/endpoints.json` (RUN_DIR) of the running system, or named with --bus-url.
"""

import asyncio
import base64
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from chassis import strict_json
from chassis.bus import Bus, BusUnavailable, Delivery, Record, RecordTooLarge, Subscriptions, UnknownTopic, bus_from_url
from chassis.db import Database
from chassis.errors import BadRequest
from chassis.replay import Parked, find_parked, list_parked, replay_parked
from events.registry import EVENTS, PARTITIONS, TOPICS

RUN_FOLDER = Path(__file__).resolve().parent.parent / ".run"

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
parked_app = typer.Typer(no_args_is_help=True, help="Events whose handler kept failing, and those of their key behind.")
app.add_typer(parked_app, name="parked")

BusUrl = Annotated[str, typer.Option("--bus-url", help="kafka://… or postgresql://…; default: the running system's")]
DatabaseUrl = Annotated[str, typer.Option("--database-url", help="The service's database; default: the running one's")]
Service = Annotated[str, typer.Argument(help="identity, jobs, rewards or governance")]
KeyOption = Annotated[str | None, typer.Option("--key", help="Only this key")]


@app.command()
def tail(
    topic: str,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Offset of each partition; default: its end")
    ] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="End after this many")] = None,
    once: Annotated[bool, typer.Option("--once", help="End at the end of the log")] = False,
    bus_url: BusUrl = "",
) -> None:
    """Print the events of TOPIC, one JSON object a line, until Ctrl-C."""
    _run(_tail(_bus(bus_url), topic, start, most, follow=not once))


async def _tail(bus: Bus, topic: str, start: int | None, most: int | None, *, follow: bool) -> None:
    left = most
    try:
        if not await bus.end_offsets([topic]):
            print(f"no topic {topic}" + (": waiting for it" if follow else ""), file=sys.stderr, flush=True)
        async for delivery in bus.read(topic, start=start, follow=follow):
            print(json.dumps(_line(delivery)), flush=True)
            left = None if left is None else left - 1
            if left == 0:
                return
    finally:
        await bus.close()


@app.command()
def publish(
    topic: str,
    key: Annotated[str | None, typer.Argument(help="The message key; or --null-key")] = None,
    null_key: Annotated[bool, typer.Option("--null-key", help="Publish without a key")] = False,
    header: Annotated[list[str] | None, typer.Option("--header", help="name=value, may be repeated")] = None,
    bus_url: BusUrl = "",
) -> None:
    """Publish standard input to TOPIC as it is, byte for byte."""
    if (key is None) != null_key:
        raise typer.BadParameter("give a KEY or --null-key, not both")
    pairs = [text.partition("=") for text in header or []]
    headers = tuple((name, value.encode()) for name, _, value in pairs)
    if not headers:
        headers = (("content-type", b"application/cloudevents+json"),)
    record = Record(topic, None if key is None else key.encode(), sys.stdin.buffer.read(), headers)
    _run(_publish(_bus(bus_url), record))


async def _publish(bus: Bus, record: Record) -> None:
    try:
        if record.topic in TOPICS:
            await bus.create_topics([record.topic])
        await bus.publish([record])
    finally:
        await bus.close()


@app.command("create-topics")
def create_topics(bus_url: BusUrl = "") -> None:
    """Create every topic of the published language that does not exist yet."""

    async def create(bus: Bus) -> None:
        try:
            await bus.create_topics(TOPICS)
        finally:
            await bus.close()

    _run(create(_bus(bus_url)))


@parked_app.command("list")
def parked_list(service: Service, limit: int = 100, key: KeyOption = None, database_url: DatabaseUrl = "") -> None:
    """Print the parked events of SERVICE, oldest first, one JSON object a line, without their values."""

    async def list_them(database: Database) -> None:
        async with database.unit_of_work() as session:
            raw = None if key is None else key.encode()
            for item in await list_parked(session, key=raw, limit=limit):
                print(json.dumps(_parked_line(item, whole=False)))

    _run(_with_database(database_url, service, list_them))


@parked_app.command("show")
def parked_show(service: Service, parked_id: int, database_url: DatabaseUrl = "") -> None:
    """Print one parked event of SERVICE with all there is to know."""

    async def show(database: Database) -> None:
        async with database.unit_of_work() as session:
            item = await find_parked(session, parked_id)
        if item is None:
            _fail(f"{service} has no parked event {parked_id}")
        print(json.dumps(_parked_line(item, whole=True), indent=2))

    _run(_with_database(database_url, service, show))


@parked_app.command("replay")
def parked_replay(
    service: Service, topic: str | None = None, key: KeyOption = None, database_url: DatabaseUrl = ""
) -> None:
    """Handle the parked events of SERVICE again, in order; each key stops at its first failure."""
    subscriptions = _subscriptions_of(service)

    async def replay(database: Database) -> int:
        raw = None if key is None else key.encode()
        result = await replay_parked(database, subscriptions, registry=EVENTS, topic=topic, key=raw)
        print(json.dumps({"done": result.done, "failed": len(result.failed)}))
        for lane_topic, lane_key, reason in result.failed:
            print(f"{lane_topic} {lane_key.decode(errors='replace')}: {reason}", file=sys.stderr)
        return 1 if result.failed else 0

    _run(_with_database(database_url, service, replay))


def _line(delivery: Delivery) -> dict[str, Any]:
    record = delivery.record
    return {
        "topic": record.topic,
        "partition": delivery.partition,
        "offset": delivery.offset,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers},
    } | _value_of(record.value)


def _value_of(value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"value": None}
    with contextlib.suppress(BadRequest):
        return {"value": strict_json.load(value)}
    return {"value_base64": base64.b64encode(value).decode()}


def _parked_line(item: Parked, *, whole: bool) -> dict[str, Any]:
    line = (
        _line(item.delivery)
        if whole
        else {
            "topic": item.delivery.record.topic,
            "key": (item.delivery.record.key or b"").decode(errors="replace"),
        }
    )
    return {
        "id": item.id,
        "group": item.consumer_group,
        "event_id": str(item.event_id),
        "reason": item.reason,
        "attempts": item.attempts,
        "parked_at": item.parked_at.isoformat(),
    } | line


def _subscriptions_of(service: str) -> Subscriptions:
    try:
        module = importlib.import_module(f"services.{service}.handlers")
    except ModuleNotFoundError:
        _fail(f"there is no service {service!r} that handles events")
    found: Subscriptions = module.subscriptions
    return found


def _endpoint(name: str) -> str | None:
    path = Path(os.environ.get("RUN_DIR", RUN_FOLDER)) / "endpoints.json"
    try:
        endpoints = json.loads(path.read_text())
    except FileNotFoundError:
        _fail(f"nothing runs here ({path} is missing): start it with `make run`, or name the URL")
    if name == "events" and endpoints.get("kafka"):
        return f"kafka://{endpoints['kafka']}"
    found: str | None = endpoints["dsn"].get(name)
    return found


def _bus(url: str) -> Bus:
    try:
        return bus_from_url(url or _endpoint("events") or "", partitions=PARTITIONS)
    except ValueError as error:
        _fail(str(error))


async def _with_database(url: str, service: str, use: Any) -> Any:
    found = url or _endpoint(service)
    if not found:
        _fail(f"there is no service {service!r} in .run/endpoints.json")
    database = Database(found, pool_size=2, application_name="events")
    try:
        return await use(database)
    finally:
        await database.close()


def _run(work: Coroutine[Any, Any, Any]) -> None:
    try:
        code = asyncio.run(work)
    except (KeyboardInterrupt, BrokenPipeError):
        code = 0
    except UnknownTopic as error:
        _fail(str(error))
    except (BusUnavailable, OSError) as error:
        _fail(f"no answer: {error}")
    except (RecordTooLarge, ValueError) as error:
        _fail(str(error))
    if code:
        raise typer.Exit(code)


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    app()
