"""Poison on the bus: dead-lettered or held with its reason, nothing stuck behind it, the supply untouched."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.bus import Delivery, Record, partition_of
from chassis.clock import to_rfc3339, utc_now
from chassis.http import HttpClient
from chassis.ids import new_id
from events.registry import PARTITIONS
from scripts.api import Api, eventually
from scripts.story import Story
from tests.e2e.invariants import Node, check_all
from tests.e2e.network import BOTH_MODES, ROOT, Network, bus_url
from tests.e2e.storm import bus_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

TOPIC = "jobs.transaction"
DEAD = "jobs.transaction.rewards.dlq"
UNCONFIRMED = "the jobs service does not confirm this transaction"

Poison = tuple[str | None, bytes, str]
"""Key, value, and what the reason must say."""


@pytest.fixture(scope="module", params=BOTH_MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """On either bus."""
    return str(request.param)


def completed(transaction_id: str, **changed: Any) -> dict[str, Any]:
    """A well-formed event of a transaction that never happened."""
    now = to_rfc3339(utc_now())
    data = {
        "transaction_id": transaction_id,
        "invoice_id": str(new_id()),
        "engagement_id": str(new_id()),
        "client_id": str(new_id()),
        "talent_id": str(new_id()),
        "provider": "sandbox",
        "amount_cents": 100_000,
        "currency": "USD",
        "client_fee_cents": 10_000,
        "talent_fee_cents": 0,
        "parameters_version": 0,
        "completed_at": now,
    }
    return {
        "specversion": "1.0",
        "id": str(new_id()),
        "source": "/services/jobs",
        "type": "jobs.transaction.completed.v1",
        "subject": transaction_id,
        "time": now,
        "datacontenttype": "application/json",
        "sequence": "1",
        "data": data | changed,
    }


def with_amount(literal: str) -> tuple[str, bytes]:
    """An event whose amount is this JSON text."""
    key = str(new_id())
    return key, json.dumps(completed(key)).replace('"amount_cents": 100000', f'"amount_cents": {literal}').encode()


def malformed() -> Iterator[Poison]:
    """One of each kind, as an operator would publish it."""
    key = str(new_id())
    good = completed(key)
    yield key, b"{ this is not JSON", "not JSON"
    yield key, json.dumps(good | {"data": {"transaction_id": key}}).encode(), "wrong schema"
    yield key, json.dumps(good | {"type": "jobs.transaction.completed.v2"}).encode(), "unknown type"
    yield key, json.dumps(good | {"padding": "x" * 2 * 2**20}).encode(), "too large"
    yield None, json.dumps(good).encode(), "null key"
    yield *with_amount("NaN"), "not JSON"
    yield *with_amount("1e400"), "not JSON"


def malformed_too() -> Iterator[Poison]:
    """More of the same, and some for every partition."""
    key = str(new_id())
    yield key, b'{"a": 1, "a": 2}', "not JSON"
    yield key, b"[" * 50_000, "not JSON"
    yield key, b"", "empty value"
    yield key, json.dumps({"hello": "world"}).encode(), "not an envelope"
    yield key, json.dumps(completed(key, completed_at="0001-01-01T00:00:00+01:00")).encode(), "wrong schema"
    yield key, json.dumps(completed(key, completed_at=1e300)).encode(), "wrong schema"
    yield str(new_id()), json.dumps(completed(key)).encode(), "the key is not the subject"
    yield *with_amount("Infinity"), "not JSON"
    for literal in ("1.5", "-5", "0", '"100000"', "true", "null", "1" + "0" * 30):
        yield *with_amount(literal), "wrong schema"
    for partition in range(PARTITIONS):
        yield key_in(partition), b"poison for every partition", "not JSON"


def key_in(partition: int) -> str:
    """A fresh key that falls into `partition`."""
    return next(key for key in iter(lambda: str(uuid4()), "") if partition_of(key.encode(), PARTITIONS) == partition)


async def publish_at_once(network: Network, poisons: list[Poison]) -> None:
    """All in one batch, byte for byte."""
    headers = (("content-type", b"application/cloudevents+json"),)
    async with bus_of(network) as bus:
        await bus.publish([Record(TOPIC, key and key.encode(), value, headers) for key, value, _ in poisons])


async def publish(network: Network, key: str | None, value: bytes) -> None:
    """`python -m scripts.events publish`, as an operator would."""
    named = ["--null-key"] if key is None else [key]
    command = ["-m", "scripts.events", "publish", TOPIC, *named, "--bus-url", bus_url(network.endpoints)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), cwd=ROOT, env={**os.environ}, stdin=asyncio.subprocess.PIPE
    )
    await process.communicate(value)
    assert process.returncode == 0


async def dead_letters(network: Network) -> list[Delivery]:
    async with bus_of(network) as bus:
        return [delivery async for delivery in bus.read(DEAD, start=0, follow=False)]


def told(letters: list[Delivery], key: str | None, value: bytes) -> dict[str, str]:
    """The headers of the dead letter with exactly this key and value; empty without one."""
    for letter in letters:
        if letter.record.value == value and letter.record.key == (None if key is None else key.encode()):
            return {name: text.decode() for name, text in letter.record.headers}
    return {}


def reason_of(letters: list[Delivery], event: dict[str, Any]) -> str:
    """Why the event with this id is in the dead-letter topic; empty when it is not."""
    for letter in letters:
        if event["id"].encode() in (letter.record.value or b""):
            return dict(letter.record.headers)["dlq-reason"].decode()
    return ""


@asynccontextmanager
async def story_of(network: Network) -> AsyncIterator[tuple[Story, Node]]:
    """People who work together, with their first transaction minted."""
    where = network.endpoints
    async with HttpClient(timeout_seconds=10.0) as http:
        story = Story(
            Api(where["gateway"], http, patience_seconds=60), where["rpc"], where["contracts"]["btrst"], print
        )
        await story.people()
        await story.hire()
        story.transaction = await story.invoice_and_pay()
        await story.minted()
        yield story, Node(where["rpc"], http)


async def supply(network: Network, node: Node) -> int:
    call = {"to": network.endpoints["contracts"]["btrst"], "data": "0x18160ddd"}
    return int(await node.call("eth_call", call, "latest"), 16)


async def test_what_is_no_event_is_dead_lettered_and_blocks_nothing(network: Network) -> None:
    async with story_of(network) as (story, node):
        before = await supply(network, node)
        under_a_true_key = (story.transaction["id"], b"not JSON, under the key of a true transaction", "not JSON")
        by_hand, at_once = list(malformed()), [*malformed_too(), under_a_true_key]
        await publish_at_once(network, at_once)
        await asyncio.gather(*(publish(network, key, value) for key, value, _ in by_hand))
        poisons = by_hand + at_once

        async def all_told() -> bool:
            letters = await dead_letters(network)
            return all(told(letters, key, value) for key, value, _ in poisons)

        await eventually("every poison is dead-lettered", all_told)
        letters = await dead_letters(network)
        for key, value, reason in poisons:
            headers = told(letters, key, value)
            assert reason in headers["dlq-reason"], (value[:80], headers)
            assert headers["content-type"] == "application/cloudevents+json"
            assert headers["dlq-attempts"] == "1"
            assert 0 <= int(headers["dlq-partition"]) < PARTITIONS
            assert int(headers["dlq-offset"]) >= 0
        assert await supply(network, node) == before
        await story.refund()  # an event of the key that had poison
        await story.next_is_paid_less()
        await story.audited()
        assert await supply(network, node) == before + 30 * 10**18
        await check_all(network.endpoints, story.api.http)


async def test_what_never_happened_is_never_paid(network: Network) -> None:
    async with story_of(network) as (story, node):
        before = await supply(network, node)
        people = {"client_id": story.client.id, "talent_id": story.talent.id}
        invented = completed(str(new_id()), **people, amount_cents=9_000_000, client_fee_cents=900_000)
        altered = completed(story.transaction["id"], **people, amount_cents=90_000_000, client_fee_cents=9_000_000)
        altered["data"] |= {name: story.transaction[name] for name in ("invoice_id", "engagement_id", "completed_at")}
        for event in (invented, altered):
            await publish(network, event["subject"], json.dumps(event).encode())

        async def both_told() -> bool:
            letters = await dead_letters(network)
            return bool(reason_of(letters, invented) and reason_of(letters, altered))

        await eventually("both forgeries are dead-lettered", both_told)
        letters = await dead_letters(network)
        assert reason_of(letters, invented) == UNCONFIRMED
        assert reason_of(letters, altered) == "it contradicts what is recorded of this transaction"
        following = await story.invoice_and_pay()
        for person in (story.ada, story.ben):
            await eventually("the next is minted", lambda person=person: story.reward_of(person, following))
            found = (await person.get("/v1/rewards?limit=100"))["items"]
            forged = [reward for reward in found if reward["transaction_id"] == invented["subject"]]
            assert [(reward["status"], reward["reason"]) for reward in forged] == [("cancelled", "unverified")]
            assert [reward["minted_wei"] for reward in forged] == ["0"]
            assert len([reward for reward in found if reward["status"] == "minted"]) == 2
        assert await supply(network, node) == before + 40 * 10**18
        await story.audited()
        await check_all(network.endpoints, story.api.http, forged={UUID(invented["id"]), UUID(altered["id"])})
