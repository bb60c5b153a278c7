"""Work of the network: people who hire, invoice and pay, what their connectors are owed, and whether it has arrived."""

import asyncio
import contextlib
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chassis.http import HttpClient
from events.registry import TOPICS
from scripts.api import Api, Person
from tests.e2e.invariants import Node, reward_wei, sum_of
from tests.e2e.network import ROOT, Endpoints, Network
from tests.e2e.storm import Echo, bus_of

SEED = 20_261_122


@dataclass(slots=True)
class Engagement:
    """A client and a Talent who work together, and who referred them."""

    id: str
    client: Person
    talent: Person
    connectors: dict[str, Person]
    dice: random.Random
    paid: dict[str, int] = field(default_factory=dict)
    """transaction id → amount in cents."""

    async def work(self, invoices: int) -> None:
        """Invoice after invoice."""
        for _ in range(invoices):
            await self.earn()

    async def work_until(self, done: asyncio.Event, *, pause_seconds: float) -> None:
        """The same at a gentler pace, until it is enough."""
        while not done.is_set():
            await self.earn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), pause_seconds)

    async def earn(self) -> None:
        """One invoice, approved and paid: an amount from $1.00 on that no fee divides evenly."""
        amount = self.dice.choice([100, 101, self.dice.randint(102, 9_999), self.dice.randint(10_000, 999_999)])
        lines = {"lines": [{"description": "Work", "amount_cents": amount}]}
        invoice = await self.talent.post(f"/v1/engagements/{self.id}/invoices", lines)
        await self.client.post(f"/v1/invoices/{invoice['id']}/approve")
        payment = await self.client.post(f"/v1/invoices/{invoice['id']}/payments", {"method": "sandbox"})
        assert payment["status"] == "succeeded"
        self.paid[payment["transaction_id"]] = amount

    def expected(self) -> "Owed":
        """(transaction, side) → (connector, wei), by the formula."""
        found = {}
        for transaction_id, amount in self.paid.items():
            sides = len(self.connectors)
            for side, connector in self.connectors.items():
                wei = reward_wei(amount_cents=amount, client_fee_cents=amount // 10, sides=sides)
                found[UUID(transaction_id), side] = (connector.id, wei)
        return found


async def engage(api: Api, number: int, connectors: list[Person]) -> Engagement:
    """Hire: both sides referred in half of the engagements, else one side or none."""
    referred = [("client", "talent"), ("client",), ("client", "talent"), ("talent",), ()][number % 5]
    by_side = {side: connectors[(number + at) % len(connectors)] for at, side in enumerate(referred)}
    people = {}
    for side in ("client", "talent"):
        code = by_side[side].referral_code if side in by_side else None
        people[side] = await Person(api, f"{side} {number}", [side]).register(referral_code=code)
    job = {"title": "Storm", "description": "x", "skills": [], "kind": "fixed"}
    job |= {"rate_min_cents": 100, "rate_max_cents": 1_000_000}
    client, talent = people["client"], people["talent"]
    job = await client.post("/v1/jobs", job)
    await client.post(f"/v1/jobs/{job['id']}/publish")
    bid = await talent.post(f"/v1/jobs/{job['id']}/bids", {"rate_cents": 5_000, "cover_letter": "Mine."})
    offer = await client.post(f"/v1/bids/{bid['id']}/offers", {})
    accepted = await talent.post(f"/v1/offers/{offer['id']}/accept")
    return Engagement(accepted["engagement_id"], client, talent, by_side, random.Random(SEED + number))


@contextlib.asynccontextmanager
async def during(*troubles: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let the troubles go on for as long as the block runs; one that fails fails the test."""
    tasks = [asyncio.create_task(trouble) for trouble in troubles]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [result for result in results if not isinstance(result, asyncio.CancelledError | None)]
    assert not failures, failures


async def meet(api: Api) -> list[Person]:
    """Three connectors with payout wallets."""
    connectors = [await Person(api, f"Connector {n}", ["connector"]).register() for n in range(3)]
    for connector in connectors:
        await connector.link_wallet()
    return connectors


Owed = dict[tuple[UUID, str], tuple[str, int]]
"""(transaction, side) → (connector, wei)."""


def all_owed(engagements: list[Engagement]) -> Owed:
    """What all the work so far has earned, by the formula."""
    return {key: value for one in engagements for key, value in one.expected().items()}


async def minted(node: Node, told: dict[str, Any], total: int) -> bool:
    return sum_of(await node.settled_logs(told["contracts"]["rewards_minter"])) >= total


async def at_rest(api: Api, echo: Echo, total: int) -> bool:
    return await audited(api, total) and all(echo.told[event] == 2 for event in echo.heard)


async def audited(api: Api, total: int) -> bool:
    audit = await api.call("GET", "/v1/audit/supply")
    return (audit["onchain_minted_wei"], audit["difference_wei"]) == (str(total), "0")


async def everything_read(network: Network) -> bool:
    """True once every group is at the end of its topics."""
    async with bus_of(network) as bus:
        for group in ("identity", "jobs", "rewards"):
            reached = await bus.committed(group, TOPICS)
            ends = await bus.end_offsets({at.topic for at in reached})
            if any(reached.get(at, 0) < end for at, end in ends.items()):
                return False
        return True


def verify_rewards(told: Endpoints) -> subprocess.CompletedProcess[str]:
    """What the independent verifier says of the network; it can import nothing of ours."""
    script = ROOT / "scripts" / "verify_rewards.py"
    named = ("--api", told["gateway"], "--rpc", told["rpc"], "--minter", told["contracts"]["rewards_minter"])
    command = [sys.executable, "-I", str(script), *named]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120, check=False)


async def exact(
    network: Network, http: HttpClient, expected: Owed, connectors: list[Person], *, settled_before: int = 0
) -> None:
    """Every transaction has exactly its rewards, and every wallet holds exactly their sum."""
    owed: dict[str, int] = defaultdict(int)
    for connector_id, wei in expected.values():
        owed[connector_id] += wei
    node, told = Node(network.endpoints["rpc"], http), network.endpoints
    for connector in connectors:
        held = await node.balance_of(told["contracts"]["btrst"], connector.wallet.address)
        assert held == owed[connector.id], f"{connector.name} holds {held} wei and earned {owed[connector.id]}"
        assert await rewards_of(connector) == {
            (key, wei) for key, (beneficiary, wei) in expected.items() if beneficiary == connector.id
        }
    logs = await node.settled_logs(told["contracts"]["rewards_minter"])
    assert sum_of(logs) == settled_before + sum(owed.values())


async def rewards_of(connector: Person) -> set[tuple[tuple[UUID, str], int]]:
    """What the API says this connector was paid, page by page; each reward once."""
    found: list[tuple[tuple[UUID, str], int]] = []
    cursor = ""
    while True:
        page = await connector.get(f"/v1/rewards?limit=100{cursor}")
        for reward in page["items"]:
            assert reward["status"] == "minted", reward
            found.append(((UUID(reward["transaction_id"]), reward["side"]), int(reward["minted_wei"])))
        if page["next_cursor"] is None:
            assert len(set(found)) == len(found)
            return set(found)
        cursor = f"&cursor={page['next_cursor']}"
