"""The promises I1 to I8, checked on a network at rest: from the databases, the log and the node, not from its API.

What the test network has done is computed anew here from what members did, never read from the rewards service.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from eth_utils import keccak

from chassis.bus import DEAD_LETTER_SUFFIX, Delivery, TopicPartition, bus_from_url, dead_letter_topic
from chassis.decoding import Poison, decode
from chassis.http import HttpClient
from chassis.testing import eventually
from events.governance import GENESIS_PARAMETERS
from events.registry import EVENTS, PARTITIONS, TOPICS
from services.identity.handlers import subscriptions as identity_subscriptions
from services.jobs.handlers import subscriptions as jobs_subscriptions
from services.rewards.handlers import subscriptions as rewards_subscriptions
from tests.e2e.feeds import feeds_are_complete
from tests.e2e.network import Endpoints, bus_url

SERVICES = ("identity", "jobs", "rewards", "governance")
GROUPS = (identity_subscriptions, jobs_subscriptions, rewards_subscriptions)
CAP_WEI = 250_000_000 * 10**18
PRICE_USD_E8 = 50_000_000
SETTLED = "0x" + keccak(text="Settled(uint64,uint32,uint256,bytes32)").hex()
TOTAL_SUPPLY = "0x18160ddd"


def reward_wei(*, amount_cents: int, client_fee_cents: int, sides: int, price_usd_e8: int = PRICE_USD_E8) -> int:
    """What each of the rewarded sides earns at the genesis parameters. Source: the network's formula."""
    share = amount_cents * GENESIS_PARAMETERS["connector_reward_bps"]
    total = share * sides
    limit = min(total, client_fee_cents * 10_000)
    return share * limit * 10**24 // (total * 10_000 * price_usd_e8)


@dataclass(slots=True)
class Node:
    """The node, asked without any of the network's own code for chains."""

    url: str
    http: HttpClient

    async def call(self, method: str, *params: Any) -> Any:
        answer = (
            await self.http.post_json(self.url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        ).json()
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    async def block_number(self, tag: str = "latest") -> int:
        return int((await self.call("eth_getBlockByNumber", tag, False))["number"], 16)

    async def settled_logs(self, minter: str, last: str = "latest") -> list[dict[str, Any]]:
        wanted = {"address": minter, "topics": [SETTLED], "fromBlock": "0x0", "toBlock": last}
        return list(await self.call("eth_getLogs", wanted))

    async def balance_of(self, token: str, address: str) -> int:
        data = "0x70a08231" + address.removeprefix("0x").lower().rjust(64, "0")
        return int(await self.call("eth_call", {"to": token, "data": data}, "latest"), 16)


def sum_of(logs: list[dict[str, Any]]) -> int:
    """The `sum` words of `Settled` logs."""
    return sum(int(entry["data"][2 + 64 : 2 + 128], 16) for entry in logs)


async def times_of(topic: str, brokers: str) -> dict[tuple[str, int, int], float]:
    """When each record of a topic was handed to Kafka, in Unix seconds: not after it was appended."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [KafkaPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        left = {at: end for at, end in (await consumer.end_offsets(partitions)).items() if end}
        found = {}
        while left:
            for at, records in (await consumer.getmany(timeout_ms=1_000)).items():
                found |= {(topic, at.partition, record.offset): record.timestamp / 1_000 for record in records}
                if await consumer.position(at) >= left.get(at, 0):
                    left.pop(at, None)
        return found
    finally:
        await consumer.stop()


@dataclass(slots=True)
class HeadWatch:
    """When the chain's head was last seen below each height: what comes before had fewer confirmations."""

    below: dict[int, float] = field(default_factory=dict)

    def saw(self, number: int, asked_at: float) -> None:
        """The head was `number` at some moment after `asked_at`, so every later block came after `asked_at`."""
        self.below[number] = asked_at

    def not_before(self, number: int) -> float:
        """A moment (Unix seconds) at which block `number` did not exist yet."""
        return max((at for seen, at in self.below.items() if seen < number), default=0.0)


async def rows_of(endpoints: Endpoints, service: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """What a service's database answers."""
    connection = await asyncpg.connect(endpoints["dsn"][service])
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


class Inspection:
    """All that the checks read, read once."""

    def __init__(self, endpoints: Endpoints, node: Node) -> None:
        self.endpoints = endpoints
        self.node = node
        self.log: dict[str, list[Delivery]] = {}
        self.appended: dict[tuple[str, int, int], float] = {}

    async def rows(self, service: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await rows_of(self.endpoints, service, query, *arguments)

    async def value(self, service: str, query: str, *arguments: Any) -> Any:
        return (await self.rows(service, query, *arguments))[0][0]

    async def read_log(self) -> None:
        """Every record of every topic, in the order of its partition, and when it was appended."""
        bus = bus_from_url(bus_url(self.endpoints))
        dead = [dead_letter_topic(topic, group.group) for group in GROUPS for topic in group.topics()]
        try:
            for topic in (*TOPICS, *dead):
                self.log[topic] = [delivery async for delivery in bus.read(topic, start=0, follow=False)]
        finally:
            await bus.close()
        if self.endpoints["kafka"]:
            self.appended = await times_of("rewards.reward", self.endpoints["kafka"])
        else:
            query = """SELECT t.name, r.partition, r."offset", extract(epoch FROM r.appended_at)::float8
                       FROM log_record r JOIN log_topic t ON t.id = r.topic_id"""
            self.appended = {(row[0], row[1], row[2]): row[3] for row in await self.rows("events", query)}

    def events(self, topic: str) -> list[tuple[Delivery, Any]]:
        """The first delivery of each true event of a topic, with its envelope."""
        seen: set[UUID] = set()
        found = []
        for delivery in self.log[topic]:
            try:
                message = decode(delivery, EVENTS)
            except Poison:
                continue
            if message.envelope.id not in seen:
                seen.add(message.envelope.id)
                found.append((delivery, message.envelope))
        return found


async def check_all(
    endpoints: Endpoints,
    http: HttpClient,
    *,
    heads: HeadWatch | None = None,
    forged: Collection[UUID] = (),
    jobs_has_all: bool = True,
) -> Inspection:
    """I1 to I8 on a network that has come to rest. `forged`: events that no service published. A restored jobs has not
    all of its transactions, so I2 cannot be told from its tables.

    Raises: AssertionError naming the promise that is broken.
    """
    seen = Inspection(endpoints, Node(endpoints["rpc"], http))
    await seen.read_log()
    await supply_agrees(seen)
    if jobs_has_all:
        await rewards_are_exact(seen)
    await ledger_balances(seen)
    await supply_is_capped(seen)
    await nonces_are_contiguous(seen)
    sequences_have_no_gap(seen, forged)
    await eventually(lambda: identity_has_read(seen), seconds=60)  # nobody else waits for the feeds
    await everything_is_accounted_for(seen)
    await feeds_are_complete(seen)
    await outboxes_are_empty(seen)
    await minted_is_confirmed(seen, heads)
    return seen


async def supply_agrees(seen: Inspection) -> None:
    """I1: `Settled` on chain = ledger = rewards, at one final block."""
    final = await seen.node.block_number("finalized")
    logs = await seen.node.settled_logs(seen.endpoints["contracts"]["rewards_minter"], hex(final))
    ledger = await seen.value(
        "rewards",
        "SELECT coalesce(sum(amount_wei), 0) FROM ledger_postings WHERE account = 'minted' AND block_number <= $1",
        final,
    )
    query = (
        "SELECT coalesce(sum(minted_wei), 0) FROM rewards WHERE block_number <= $1 AND status IN ('minted', 'reversed')"
    )
    rewards = await seen.value("rewards", query, final)
    assert sum_of(logs) == ledger == rewards, f"I1: chain {sum_of(logs)}, ledger {ledger}, rewards {rewards}"


async def rewards_are_exact(seen: Inspection) -> None:
    """I2: for each transaction of jobs exactly the rewards that identity's referrals say, of the exact formula."""
    referred = {row[0]: row[1] for row in await seen.rows("identity", "SELECT member_id, connector_id FROM referrals")}
    true = await seen.rows("jobs", "SELECT id, client_id, talent_id, amount_cents, client_fee_cents FROM transactions")
    expected = {}
    for row in true:
        sides = {side: referred.get(row[f"{side}_id"]) for side in ("client", "talent")}
        rewarded = {side: connector for side, connector in sides.items() if connector is not None}
        for side, connector in rewarded.items():
            earned = reward_wei(
                amount_cents=row["amount_cents"], client_fee_cents=row["client_fee_cents"], sides=len(rewarded)
            )
            expected[row["id"], side] = (connector, earned)
    query = """SELECT source_id, side, kind, beneficiary_id, earned_wei FROM rewards
               WHERE source_kind = 'transaction'"""
    rows = await seen.rows("rewards", query)
    assert all(value is not None for row in rows for value in row), "I2: a reward without its source"
    times = Counter((row["source_id"], row["side"], row["kind"]) for row in rows)
    assert not times or max(times.values()) == 1, f"I2: rewarded twice: {times.most_common(3)}"
    found = {(row["source_id"], row["side"]): (row["beneficiary_id"], int(row["earned_wei"])) for row in rows}
    assert found == expected, f"I2: {len(found)} rewards, {len(expected)} expected; {_difference(found, expected)}"


def _difference(found: dict[Any, Any], expected: dict[Any, Any]) -> str:
    wrong = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    return "; ".join(f"{key}: {found.get(key)} instead of {expected.get(key)}" for key in wrong[:3])


async def ledger_balances(seen: Inspection) -> None:
    """I3: the ledger sums to 0, each entry too, and refuses to be changed."""
    uneven = await seen.rows(
        "rewards", "SELECT entry_id FROM ledger_postings GROUP BY entry_id, asset HAVING sum(amount_wei) <> 0"
    )
    assert not uneven, f"I3: entries that do not sum to 0: {uneven[:3]}"
    for statement in ("UPDATE ledger_postings SET amount_wei = 0", "DELETE FROM ledger_postings"):
        try:
            await seen.rows("rewards", statement)
        except asyncpg.PostgresError:
            continue
        raise AssertionError(f"I3: the ledger took {statement}")


async def supply_is_capped(seen: Inspection) -> None:
    """I4: never more than the cap."""
    call = {"to": seen.endpoints["contracts"]["btrst"], "data": TOTAL_SUPPLY}
    assert int(await seen.node.call("eth_call", call, "latest"), 16) <= CAP_WEI, "I4: over the cap"


async def nonces_are_contiguous(seen: Inspection) -> None:
    """I5: each lane's nonces have no gap and the chain has taken them all. A restored lane has forgotten those below
    its first."""
    for service in ("rewards", "governance"):
        for lane in await seen.rows(service, "SELECT name, address, halted, first_nonce FROM chain_lanes"):
            assert lane["halted"] is None, f"I5: {service} halted: {lane['halted']}"
            query = "SELECT nonce, state FROM chain_intents WHERE lane = $1 AND nonce >= $2 ORDER BY nonce"
            first = lane["first_nonce"]
            intents = await seen.rows(service, query, lane["name"], first)
            assert [row["nonce"] for row in intents] == list(range(first, first + len(intents))), f"I5: {service}"
            on_chain = [await seen.node.call("eth_getTransactionCount", lane["address"], tag) for tag in _TAGS]
            assert {int(count, 16) for count in on_chain} == {first + len(intents)}, f"I5: {service}: {on_chain}"


_TAGS = ("latest", "pending")


def sequences_have_no_gap(seen: Inspection, forged: Collection[UUID]) -> None:
    """I6: the true events of each key carry 1, 2, 3 … in the order of the log."""
    for topic in TOPICS:
        sequences: dict[str, list[int]] = defaultdict(list)
        for _, envelope in seen.events(topic):
            if envelope.id not in forged:
                sequences[envelope.subject].append(int(envelope.sequence))
        for key, found in sequences.items():
            assert found == list(range(1, len(found) + 1)), f"I6: {topic} {key}: {found}"


async def everything_is_accounted_for(seen: Inspection) -> None:
    """I7: each record was handled, parked or dead-lettered, and each group has reached the end."""
    for group in GROUPS:
        name = group.group
        known = {
            row[0]: row[1]
            for row in await seen.rows(name, "SELECT event_id, status FROM inbox WHERE consumer_group = $1", name)
        }
        wanted: set[UUID] = set()
        for topic in group.topics():
            poison, events = _sorted_out(seen.log[topic], group.handlers)
            wanted |= events
            dead = seen.log[dead_letter_topic(topic, name)]
            told = {_place_of(delivery) for delivery in dead}
            assert poison <= told, f"I7: {name} lost poison of {topic}: {sorted(poison - told)[:3]}"
        assert known.keys() == wanted, f"I7: {name}: {len(known)} in the inbox of {len(wanted)} produced"
        await _is_at_the_end(seen, name)


def _sorted_out(deliveries: list[Delivery], handlers: Collection[Any]) -> tuple[set[tuple[int, int]], set[UUID]]:
    poison, events = set(), set()
    for delivery in deliveries:
        try:
            message = decode(delivery, EVENTS)
        except Poison:
            poison.add((delivery.partition, delivery.offset))
            continue
        if type(message.event) in handlers:
            events.add(message.envelope.id)
    return poison, events


def _place_of(delivery: Delivery) -> tuple[int, int]:
    headers = dict(delivery.record.headers)
    return int(headers["dlq-partition"]), int(headers.get("dlq-offset", b"-1"))


async def identity_has_read(seen: Inspection) -> bool:
    """Whether identity has handled what was in the log."""
    rows = await seen.rows("identity", "SELECT topic, partition, position FROM positions")
    reached = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    log = (delivery for topic in identity_subscriptions.topics() for delivery in seen.log[topic])
    return all(delivery.offset < reached.get(delivery.at, 0) for delivery in log)


async def _is_at_the_end(seen: Inspection, group: str) -> None:
    query = "SELECT topic, partition, position FROM positions WHERE consumer_group = $1"
    reached = {TopicPartition(row[0], row[1]): row[2] for row in await seen.rows(group, query, group)}
    for topic, deliveries in seen.log.items():
        if topic.endswith(DEAD_LETTER_SUFFIX) or not any(at.topic == topic for at in reached):
            continue
        for delivery in deliveries:
            assert delivery.offset < reached.get(delivery.at, 0), f"I7: {group} has not read {delivery.at}"


async def outboxes_are_empty(seen: Inspection) -> None:
    """Nothing waits for a relay."""
    for service in SERVICES:
        unsent = await seen.value(service, "SELECT count(*) FROM outbox")
        assert unsent == 0, f"{unsent} events of {service} were not sent"


async def minted_is_confirmed(seen: Inspection, heads: HeadWatch | None, confirmations: int = 2) -> None:
    """I8: a minted event names a block of the chain, and came when that block had its confirmations."""
    for delivery, envelope in seen.events("rewards.reward"):
        if envelope.type != "rewards.reward.minted.v1":
            continue
        number = envelope.data["block_number"]
        block = await seen.node.call("eth_getBlockByNumber", hex(number), False)
        assert block["hash"] == envelope.data["block_hash"], f"I8: block {number} is another one"
        if heads is not None:
            appended = seen.appended[delivery.record.topic, delivery.partition, delivery.offset]
            assert appended > heads.not_before(number + confirmations), f"I8: {envelope.subject} was told too early"


def copies_of(seen: Inspection, topic: str) -> Counter[str]:
    """How often each event of a topic was delivered."""
    return Counter(json.loads(delivery.record.value or b"{}")["id"] for delivery in seen.log[topic])
