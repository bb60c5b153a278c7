"""A running jobs service for tests: members, and the steps of the story as one-liners."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from chassis.app import create_app
from chassis.auth import internal_token
from chassis.bus import Bus
from chassis.bus_memory import MemoryBus
from chassis.envelope import Envelope
from chassis.testing import TokenMint, running
from services.jobs.app import SERVICE
from services.jobs.settings import JobsSettings

SECRET = "a secret that only the tests of jobs know"
JOB = {
    "title": "Solidity engineer",
    "description": "Write and test a vesting contract.",
    "skills": ["Solidity", "foundry"],
    "kind": "hourly",
    "rate_min_cents": 8_000,
    "rate_max_cents": 12_000,
}
BID = {"rate_cents": 10_000, "cover_letter": "I have written three of these."}

Json = dict[str, Any]


@dataclass
class Member:
    """A member who calls the service."""

    id: UUID
    client: httpx.AsyncClient
    headers: dict[str, str]

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """GET as this member."""
        return await self.client.get(path, params=params, headers=self.headers)

    async def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> httpx.Response:
        """POST as this member; payments and refunds get a key of their own unless one is given."""
        if key is None and path.endswith(("/payments", "/refunds")):
            key = uuid4().hex
        more = headers | ({"Idempotency-Key": key} if key else {})
        return await self.client.post(path, json=body, headers=self.headers | more)

    async def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """PATCH as this member."""
        return await self.client.patch(path, json=body, headers=self.headers | headers)


async def ok(response: httpx.Response, status: int = 200) -> Json:
    """The body of an answer that has to have `status`."""
    assert response.status_code == status, response.text
    body: Json = response.json()
    return body


def refused(response: httpx.Response, status: int, code: str | None = None) -> None:
    """Hold the answer against a problem document of this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    if code is not None:
        assert body["code"] == code


class World:
    """One service on one database."""

    def __init__(self, client: httpx.AsyncClient, mint: TokenMint, dsn: str) -> None:
        self.http, self.mint, self.dsn = client, mint, dsn
        self.client = self.member("client")
        self.talent = self.member("talent")
        self.stranger = self.member("client", "talent")
        self.admin = self.member("admin")

    def member(self, *roles: str) -> Member:
        """A new member with these roles."""
        member_id = uuid4()
        return Member(member_id, self.http, self.mint.headers(member_id, *roles))

    async def draft(self, **changes: Any) -> Json:
        """A job that nobody else sees."""
        return await ok(await self.client.post("/v1/jobs", JOB | changes), 201)

    async def job(self, **changes: Any) -> Json:
        """An open job."""
        draft = await self.draft(**changes)
        return await ok(await self.client.post(f"/v1/jobs/{draft['id']}/publish"))

    async def bid(self, job: Json | None = None, talent: Member | None = None) -> Json:
        """A bid on an open job."""
        job = job or await self.job()
        return await ok(await (talent or self.talent).post(f"/v1/jobs/{job['id']}/bids", BID), 201)

    async def offer(self, bid: Json | None = None, **body: Any) -> Json:
        """An offer on a bid."""
        bid = bid or await self.bid()
        return await ok(await self.client.post(f"/v1/bids/{bid['id']}/offers", body), 201)

    async def engagement(self) -> Json:
        """An engagement of client and Talent."""
        offer = await self.offer()
        accepted = await ok(await self.talent.post(f"/v1/offers/{offer['id']}/accept"))
        return await ok(await self.client.get(f"/v1/engagements/{accepted['engagement_id']}"))

    async def invoice(self, *amounts_cents: int, engagement: Json | None = None) -> Json:
        """A submitted invoice with a line for each amount; $1,000.00 if none is given."""
        engagement = engagement or await self.engagement()
        lines = [{"description": "Work", "amount_cents": amount} for amount in amounts_cents or (100_000,)]
        return await ok(await self.talent.post(f"/v1/engagements/{engagement['id']}/invoices", {"lines": lines}), 201)

    async def approved(self, *amounts_cents: int) -> Json:
        """An approved invoice."""
        invoice = await self.invoice(*amounts_cents)
        return await ok(await self.client.post(f"/v1/invoices/{invoice['id']}/approve"))

    async def payment(self, *amounts_cents: int) -> Json:
        """A paid invoice's payment."""
        invoice = await self.approved(*amounts_cents)
        return await ok(await self.client.post(f"/v1/invoices/{invoice['id']}/payments", {"method": "sandbox"}), 201)

    async def transaction(self, *amounts_cents: int) -> Json:
        """A completed transaction."""
        payment = await self.payment(*amounts_cents)
        return await ok(await self.client.get(f"/v1/transactions/{payment['transaction_id']}"))

    async def refund(self, transaction: Json, amount_cents: int) -> Json:
        """A refund by the Talent."""
        body = {"amount_cents": amount_cents, "reason": "Not worked"}
        return await ok(await self.talent.post(f"/v1/transactions/{transaction['id']}/refunds", body), 201)

    async def internal(self, path: str, audience: str = "jobs", secret: str = SECRET) -> httpx.Response:
        """GET as another service of the deployment."""
        headers = {"Authorization": f"Bearer {internal_token(secret, audience)}"}
        return await self.http.get(path, headers=headers)

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Rows, straight from the database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def events(self, key: str | None = None) -> list[Envelope]:
        """What is in the outbox, in order; of one key if given."""
        rows = await self.sql("SELECT value, key FROM outbox ORDER BY id")
        envelopes = [Envelope.model_validate_json(row["value"]) for row in rows]
        return [envelope for envelope in envelopes if key is None or envelope.subject == key]

    async def parameters(self, version: int, *, effective_at: str = "-infinity", **values: int) -> None:
        """A version of the parameters, as if governance's event had arrived."""
        full = {"client_fee_bps": 1_000, "connector_reward_bps": 100, "reward_hold_seconds": 0} | values
        await self.sql(
            "INSERT INTO parameters VALUES ($1, $2::text::timestamptz, $3, $4, $5)",
            version,
            effective_at,
            *full.values(),
        )


@asynccontextmanager
async def world_on(dsn: str, *, bus: Bus | None = None, **settings: Any) -> AsyncIterator[World]:
    """The service on this database; without background work unless `role` says so: the outbox stays as it is."""
    mint = TokenMint()
    values = {"database_url": dsn, "environment": "test", "role": "api", "internal_secret": SECRET} | settings
    app = create_app(SERVICE, settings=JobsSettings(**values), token_source=mint, bus=bus or MemoryBus())
    async with running(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://jobs") as client:
            yield World(client, mint, dsn)
