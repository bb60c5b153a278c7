"""Fixtures of governance: wallets, a stand-in for identity's internal API, the service on a real database."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import select, update

from chassis.app import create_app
from chassis.bus_memory import MemoryBus
from chassis.context import Context
from chassis.db import Database
from chassis.ids import new_id
from chassis.tables import outbox
from chassis.testing import TokenMint, eventually, fresh_database, running
from events.registry import TOPICS
from services.governance.app import SERVICE
from services.governance.chain.resources import relay_key
from services.governance.models import proposals
from services.governance.service import power
from services.governance.settings import GovernanceSettings
from services.governance.workers import relay_manager
from tests.governance.world import Chain, Wallet, new_chain

SECRET = "governance-tests-internal-secret-0123456789"
BTRST = 10**18
MIGRATIONS = "services/governance/migrations"
ADDRESSES = {
    "btrst_address": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    "parameters_address": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
    "governor_address": "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
}
NON_VOTING = "0x000000000000000000000000000000000000dEaD"


ADA, BEN, EVE = Wallet(0xADA), Wallet(0xBE4), Wallet(0xE4E)


@dataclass
class Identity:
    """Where the stand-in listens, and whose each wallet is."""

    url: str
    wallets: dict[str, UUID] = field(default_factory=dict)


@pytest.fixture
async def identity() -> AsyncIterator[Identity]:
    """An HTTP server that answers internal questions as identity does, to holders of its secret only."""
    app = FastAPI()
    listening = socket.create_server(("127.0.0.1", 0))
    known = Identity(f"http://127.0.0.1:{listening.getsockname()[1]}")

    def check(request: Request) -> None:
        token = request.headers["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims
        assert claims["aud"] == "identity-internal"

    @app.get("/internal/members/{member_id}/attribution")
    async def attribution(member_id: UUID, request: Request) -> Response:
        check(request)
        return Response("{}", status_code=200 if member_id in known.wallets.values() else 404)

    @app.get("/internal/wallets/{address}")
    async def owner(address: str, request: Request) -> Response:
        check(request)
        member = known.wallets.get(address)
        if member is None:
            return Response(status_code=404)
        return Response(f'{{"member_id": "{member}"}}', media_type="application/json")

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await eventually(lambda: asyncio.sleep(0, server.started), every=0.01)
    yield known
    server.should_exit = True
    await serving


@dataclass
class Running:
    """The service under test: called over HTTP, its database at hand."""

    client: httpx.AsyncClient
    context: Context
    mint: TokenMint
    identity: Identity

    @property
    def database(self) -> Database:
        return self.context.database

    async def seed(self, votes: dict[str, int], *, block: int = 10, timestamp: int = 1_700_000_000) -> None:
        """Index one block with these votes (BTRST), then a later one, as the indexer would."""
        async with self.database.unit_of_work() as session:
            for place, (account, amount) in enumerate(votes.items()):
                await power.record_votes(
                    session, account=account, block_number=block, log_index=place, votes_wei=amount * BTRST
                )
            total = sum(votes.values()) * BTRST
            await power.record_supply_change(session, block_number=block, log_index=900, change_wei=total)
            await power.record_times(session, {block: timestamp})
            await power.record_head(session, block_number=block + 2, timestamp=timestamp + 2)

    async def propose(self, wallet: Wallet = ADA, **fields: Any) -> httpx.Response:
        """Propose as the member who owns `wallet`."""
        body = {
            "title": "Raise the connector reward",
            "body": "They bring the clients.",
            "proposer": wallet.address,
            "actions": [{"kind": "parameter", "name": "connector_reward_bps", "value": "150"}],
        } | fields
        headers = self.mint.headers(self.identity.wallets[wallet.address], "connector")
        return await self.client.post("/v1/proposals", json=body, headers=headers)

    async def ballot(self, proposal_id: str, wallet: Wallet, choice: str, reason: str = "") -> dict[str, Any]:
        """What `wallet` is to sign."""
        query = {"voter": wallet.address, "choice": choice} | ({"reason": reason} if reason else {})
        answer = await self.client.get(f"/v1/proposals/{proposal_id}/ballot", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def vote(
        self, proposal_id: str, wallet: Wallet, choice: str, *, typed: dict[str, Any] | None = None, **fields: Any
    ) -> httpx.Response:
        """Sign the ballot given out (or `typed`) and cast it."""
        typed = typed or await self.ballot(proposal_id, wallet, choice, fields.get("reason", ""))
        body = {"voter": wallet.address, "choice": choice, "signature": wallet.sign(typed)} | fields
        return await self.client.post(f"/v1/proposals/{proposal_id}/votes", json=body)

    async def published(self, type_: str) -> list[dict[str, Any]]:
        """The data of each event of a type, in order: in the outbox, or on the bus if a worker has relayed it."""
        waiting = select(outbox.c.value).where(outbox.c.type == type_).order_by(outbox.c.id)
        async with self.database.unit_of_work() as session:
            stored = [json.loads(row.value) for row in await session.execute(waiting)]
        bus = self.context.bus
        logs = bus.logs.values() if isinstance(bus, MemoryBus) else ()
        relayed = [json.loads(record.value or b"") for log in logs for record in log]
        events = {event["id"]: event["data"] for event in [*relayed, *stored] if event["type"] == type_}
        return [events[event_id] for event_id in sorted(events)]  # ids are of the time they were made


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def shift(service: Running, proposal_id: str, seconds: int) -> None:
    """Move a proposal's times by so many seconds."""
    by = timedelta(seconds=seconds)
    async with service.database.unit_of_work() as session:
        moved = update(proposals).where(proposals.c.id == proposal_id)
        await session.execute(moved.values(opens_at=proposals.c.opens_at + by, closes_at=proposals.c.closes_at + by))


async def typed_delegation(service: Running, delegator: Wallet, delegatee: str) -> dict[str, Any]:
    query = {"delegator": delegator.address, "delegatee": delegatee}
    answer = await service.client.get("/v1/delegations/typed-data", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def signed_delegation(typed: dict[str, Any], delegator: Wallet, signer: Wallet | None = None) -> dict[str, Any]:
    return {"delegator": delegator.address, "signature": (signer or delegator).sign(typed)} | typed["message"]


async def delegate(service: Running, delegator: Wallet, delegatee: str | None = None) -> dict[str, Any]:
    """Delegate through the relay, as soon as it is open."""
    body = signed_delegation(await typed_delegation(service, delegator, delegatee or delegator.address), delegator)

    async def sent() -> Any:
        answer = await service.client.post("/v1/delegations", json=body)
        assert answer.status_code in {202, 503}, answer.text
        return answer.json() if answer.status_code == 202 else None

    taken: dict[str, Any] = await eventually(sent, seconds=60)
    return taken


async def power_of(service: Running, address: str) -> dict[str, Any]:
    answer = await service.client.get(f"/v1/voting-power/{address}")
    return answer.json() if answer.status_code == 200 else {"votes_wei": "-1"}


async def has_power(service: Running, address: str, amount: int) -> bool:
    return (await power_of(service, address))["votes_wei"] == str(amount)


async def is_open(service: Running) -> bool:
    answer = await service.client.get("/readyz")
    return bool(answer.json()["checks"]["relay"] == "ok")


def unix(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


def worker_beside(service: Running) -> Context:
    """The relay of a worker process beside this api process, which has no key; driven by hand."""
    settings = service.context.settings.model_copy(update={"role": "worker"})
    resources = replace(service.context.resources, key=relay_key(settings, service.context.http))
    resources.relay = relay_manager(service.database, resources, settings)
    return replace(service.context, settings=settings, resources=resources)


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(postgres_dsn: str, identity: Identity, mint: TokenMint) -> Start:
    """`async with start(voting_period_seconds=…) as service`: governance on a fresh database, without workers and
    without a node unless the settings say otherwise."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Running]:
        async with fresh_database(postgres_dsn, MIGRATIONS) as dsn:
            defaults = {
                "environment": "test",
                "role": "api",
                "database_url": dsn,
                "identity_url": identity.url,
                "internal_secret": SECRET,
                "chain_rpc_urls": "http://127.0.0.1:1",
                "voting_period_seconds": 60,
                **ADDRESSES,
            }
            bus = MemoryBus()
            await bus.create_topics(TOPICS)
            chosen = GovernanceSettings(**(defaults | settings))
            app = create_app(SERVICE, settings=chosen, token_source=mint, bus=bus)
            async with running(app):
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=30) as client:
                    yield Running(client, app.state.context, mint, identity)

    return make


@pytest.fixture
async def service(start: Start, members: dict[str, UUID]) -> AsyncIterator[Running]:
    """Governance with Ada at 20 BTRST, Ben at 20, and 100 that nobody votes with."""
    async with start() as running_service:
        await running_service.seed({ADA.address: 20, BEN.address: 20, NON_VOTING: 100})
        yield running_service


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """A node of its own with the contracts deployed; Ada and Eve have ether, Ben has none."""
    allocations = [(ADA.address, 20 * BTRST), (BEN.address, 20 * BTRST), (EVE.address, 5 * BTRST)]
    async with new_chain(tmp_path / "chain", allocations=allocations, rich=(ADA, EVE)) as made:
        yield made


@pytest.fixture
def members(identity: Identity) -> dict[str, UUID]:
    """Ada's, Ben's and Eve's wallets are linked."""
    identity.wallets |= {wallet.address: new_id() for wallet in (ADA, BEN, EVE)}
    return identity.wallets
