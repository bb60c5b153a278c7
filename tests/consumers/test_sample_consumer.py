"""The consumer of `docs/examples`, on a real broker, with the events of the real jobs service: killed and resumed."""

import ast
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.bus import Delivery, Record
from chassis.bus_kafka import KafkaBus
from chassis.db import Database
from chassis.localkafka import LocalKafka
from chassis.outbox import publish
from chassis.testing import eventually, fresh_database
from events.jobs import TransactionCompleted, TransactionRefunded
from events.registry import TOPICS
from events.schemas import example
from scripts.event_docs import FOLDER
from tests.compat.variants import variant
from tests.consumers.conftest import PASSWORD, SASL
from tests.consumers.external import GROUP, PROGRAM, Books, finished, started, wait_for_handled
from tests.jobs.world import World, world_on

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

TOPIC = "jobs.transaction"
DEAD = f"{TOPIC}.{GROUP}.dlq"
SESSION = ("--session-seconds", "2")


DISPUTED = variant(TransactionRefunded, type_=f"{TOPIC}.disputed.v1")
"""A type that consumers of today have never heard of."""


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "books.sqlite")


@asynccontextmanager
async def jobs_on(postgres_dsn: str, bus: KafkaBus) -> AsyncIterator[World]:
    """The jobs service with its relay and its consumer, on Kafka."""
    await bus.create_topics(TOPICS)
    async with (
        fresh_database(postgres_dsn, "services/jobs/migrations") as dsn,
        world_on(dsn, bus=bus, role="all") as world,
    ):
        yield world


async def pay(world: World, count: int) -> list[dict[str, Any]]:
    """`count` transactions, each refunded three times in part."""
    found = []
    for number in range(count):
        found.append(await world.transaction(10_000 + number))
        for part in range(3):
            await world.refund(found[-1], 1_000 + part)
    return found


async def sent(world: World) -> None:
    """Until the relay has sent all there is."""

    async def nothing_left() -> bool:
        rows = await world.sql("SELECT count(*) FROM outbox")
        return bool(rows[0][0] == 0)

    await eventually(nothing_left, seconds=60)


async def owed(world: World) -> Counter[tuple[object, ...]]:
    """What the books have to hold, from the service's own database."""
    rows = await world.sql(
        """
        SELECT id, talent_id, amount_cents FROM transactions
        UNION ALL
        SELECT t.id, t.talent_id, -r.amount_cents FROM refunds r JOIN transactions t ON t.id = r.transaction_id
        """
    )
    return Counter((str(row[0]), str(row[1]), row[2]) for row in rows)


async def committed(bus: KafkaBus) -> int:
    """How many records of the topic the group has committed."""
    return sum((await bus.committed(GROUP, [TOPIC])).values())


async def dead_letters(bus: KafkaBus) -> list[Delivery]:
    return [delivery async for delivery in bus.read(DEAD, start=0, follow=False)]


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names - sys.stdlib_module_names == {"aiokafka", "jsonschema"}


async def test_killed_and_resumed_in_the_middle_nothing_is_lost_and_nothing_double(
    broker: LocalKafka, bus: KafkaBus, postgres_dsn: str, books: Books
) -> None:
    check = ("--schemas", str(FOLDER))
    async with jobs_on(postgres_dsn, bus) as world:
        await pay(world, 30)
        await sent(world)
        total, again = 120, 0
        slowly = (*SESSION, *check, "--pause-seconds", "0.02")
        for part in (0.2, 0.4, 0.6):
            async with started(broker.bootstrap, books, *slowly) as run:
                await wait_for_handled(run, books, int(total * part))
                run.process.kill()
                await run.end()
            again += books.handled() - await committed(bus)
        assert again > 0, "no kill fell between an effect and its commit"
        assert books.handled() < total
        await pay(world, 5)  # what comes while it is away
        await sent(world)
        # The rest as somebody who has to show a password, and with an orderly stop in the middle.
        env = {
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_USERNAME": "books",
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }
        secured = broker.bootstrap_of(SASL)
        before = await committed(bus)
        async with started(secured, books, *slowly, **env) as run:
            await wait_for_handled(run, books, int(total * 0.8))
            run.process.terminate()
            assert await run.end() == 0, run.errors
        # All that this run got; what was killed in a partition that it did not come to is still to be had again.
        assert await committed(bus) - before == run.told.total()
        last = await finished(secured, books, *SESSION, *check, **env)
        assert last.process.returncode == 0, last.errors
        assert run.told["again"] + last.told["again"] > 0
        assert books.bookings() == await owed(world)
        assert books.handled() == 140
        assert await committed(bus) == 140
        assert await dead_letters(bus) == []
        await replayed(broker, books)
        await strangers(broker, bus, world, books)


async def replayed(broker: LocalKafka, books: Books) -> None:
    """From the beginning again: every event comes, none has a second effect."""
    before = books.bookings()
    run = await finished(broker.bootstrap, books, *SESSION, "--from-start")
    assert run.told == {"again": 140}, run.errors
    assert books.bookings() == before


async def strangers(broker: LocalKafka, bus: KafkaBus, world: World, books: Books) -> None:
    """A type of tomorrow and what is no event: the first counts in the sequence, the others go where they belong."""
    transaction = await world.transaction(50_000)
    unknown = example(TransactionRefunded)["data"] | {"transaction_id": transaction["id"]}
    database = Database(world.dsn)
    async with database.unit_of_work() as session:
        publish(session, DISPUTED.model_validate(unknown))
    await database.close()
    await world.refund(transaction, 2_000)
    await sent(world)
    key = str(uuid4())
    wrong = example(TransactionRefunded) | {"id": str(uuid4()), "subject": key, "data": {"transaction_id": key}}
    poison = [
        (transaction["id"].encode(), b"{"),
        (None, b"\xff"),
        (b"another", json.dumps(wrong).encode()),
        (key.encode(), json.dumps(wrong).encode()),
    ]
    headers = (("content-type", b"application/cloudevents+json"),)
    await bus.publish([Record(TOPIC, name, value, headers) for name, value in poison])
    await world.refund(transaction, 3_000)  # behind the poison
    await sent(world)
    run = await finished(broker.bootstrap, books, *SESSION)
    assert run.process.returncode == 0, run.errors
    assert run.told == {"handled": 3, "ignored": 1, "dead": 4}
    assert books.bookings() == await owed(world)
    dead = await dead_letters(bus)
    assert {(each.record.key, each.record.value) for each in dead} == set(poison)
    told = [dict(each.record.headers) for each in dead]
    assert {header["content-type"] for header in told} == {b"application/cloudevents+json"}
    assert {header["dlq-reason"].partition(b":")[0] for header in told} == {
        b"no event",
        b"the key is not the subject",
        b"a refund of a transaction that was never completed",
    }
    assert all(header["dlq-offset"].isdigit() and header["dlq-partition"].isdigit() for header in told)
    assert (await finished(broker.bootstrap, books, *SESSION, "--from-start")).process.returncode == 0
    assert books.bookings() == await owed(world)


async def test_brokers_that_are_not_there_are_one_line(books: Books) -> None:
    run = await finished("127.0.0.1:1", books)
    assert run.process.returncode == 1
    assert run.errors.splitlines()[-1].startswith("cannot go on: KafkaConnectionError: Unable to bootstrap from ")
    assert "Traceback" not in run.errors


async def test_it_stops_where_events_are_missing(broker: LocalKafka, bus: KafkaBus, books: Books) -> None:
    topic = "jobs.holes"
    await bus.create_topics([topic])
    key = str(uuid4())
    lines = [example(TransactionCompleted) | {"subject": key, "id": str(uuid4()), "sequence": n} for n in ("1", "3")]
    await bus.publish([Record(topic, key.encode(), json.dumps(line).encode()) for line in lines])
    for _ in range(2):  # and does not go on by itself
        run = await finished(broker.bootstrap, books, *SESSION, "--topic", topic)
        assert run.process.returncode == 3, run.errors
        assert f"events are missing: {topic} {key}: event 3 follows event 1" in run.errors
    assert books.handled() == 1
    assert sum((await bus.committed(GROUP, [topic])).values()) == 0
