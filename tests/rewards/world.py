"""A rewards service for tests: facts told by hand, its neighbours on a real socket, and its ticks run one by one."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uvicorn
from sqlalchemy import func, select

from chassis.auth import Authenticator
from chassis.bus_memory import MemoryBus
from chassis.clock import to_rfc3339, utc_now
from chassis.context import Context
from chassis.db import Database
from chassis.envelope import Envelope, Event, wrap
from chassis.headers import unpack_headers
from chassis.http import HttpClient
from chassis.ids import new_id
from chassis.tables import metadata as chassis_tables
from chassis.testing import TokenMint, eventually
from events.governance import ParameterChanged
from events.identity import MemberRegistered, WalletPayoutChanged
from events.jobs import TransactionCompleted, TransactionRefunded
from services.rewards import models, workers
from services.rewards.domain.amounts import Price, connector_rewards
from services.rewards.handlers import subscriptions
from services.rewards.service.prices import observe_price
from services.rewards.settings import RewardsSettings

SECRET = "a secret that only the tests of rewards know"
PRICE = 50_000_000
JOINED = datetime(2026, 1, 1, tzinfo=UTC)
OUTBOX = chassis_tables.tables["outbox"]


async def _is_up(server: uvicorn.Server) -> bool:
    return server.started


class Neighbours:
    """Identity's and jobs' internal APIs on a real socket, answering from what a test put in."""

    def __init__(self) -> None:
        self.members: dict[str, dict[str, Any]] = {}
        self.transactions: dict[str, dict[str, Any]] = {}
        self.refunds: dict[tuple[str, str], dict[str, Any]] = {}
        self.is_down = False
        self.is_somewhere_else = False
        self.asked: list[str] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """A bare ASGI application."""
        if scope["type"] != "http":
            return
        self.asked.append(scope["path"])
        authorized = any(name == b"authorization" and value.startswith(b"Bearer ") for name, value in scope["headers"])
        body = self._find(scope["path"].split("/"))
        if self.is_somewhere_else:
            body = None
        status = 503 if self.is_down else 401 if not authorized else 404 if body is None else 200
        if status == 404:
            is_known_place = "transactions" in scope["path"] and not self.is_somewhere_else
            body = {"code": "unknown_transaction" if is_known_place else "not_found"}
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def _find(self, path: list[str]) -> dict[str, Any] | None:
        kind, subject = path[2], path[3]
        if path[4:5] == ["refunds"]:
            return self.refunds.get((subject, path[5]))
        return (self.members if kind == "members" else self.transactions).get(subject)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Neighbours"]:
        config = uvicorn.Config(self, host="127.0.0.1", port=self.port, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server._serve())
        await eventually(lambda: _is_up(server), every=0.01)
        try:
            yield self
        finally:
            server.should_exit = True
            await task


class World:
    """One database with the rewards service's rooms on it."""

    def __init__(self, dsn: str, neighbours: Neighbours, **settings: Any) -> None:
        self.dsn = dsn
        self.neighbours = neighbours
        self.mint = TokenMint()
        self.options = settings
        self.context: Context
        self.sequence = 0

    async def open(self) -> None:
        """A process' worth of state: pool, clients, resources."""
        settings = RewardsSettings(
            database_url=self.dsn,
            bus_url="memory://",
            identity_url=self.neighbours.url,
            jobs_url=self.neighbours.url,
            internal_secret=SECRET,
            fixed_price_usd_e8=PRICE,
            environment="test",
            batch_wait_seconds=0.0,
            blocked_retry_seconds=0.01,
            idle_chain_seconds=0.01,
            verify_retry_seconds=0.05,
            **self.options,
        )
        auth = Authenticator(self.mint, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        self.context = Context("rewards", settings, Database(self.dsn), MemoryBus(), HttpClient(), auth)
        self._stack = contextlib.AsyncExitStack()
        self.context.resources = await self._stack.enter_async_context(workers.open_resources(self.context))

    async def close(self) -> None:
        """End the process in order."""
        await self._stack.aclose()
        await self.context.http.close()
        await self.context.database.close()

    async def restart(self) -> None:
        """The process dies, its lease unreleased, and another one starts on the same database once that has run out."""
        if self.context.resources.chain_side is not None:
            self.context.resources.chain_side.manager = None
        await self._stack.aclose()
        await self.context.http.close()
        await self.context.database.close()
        await self.open()
        if self.context.resources.chain_side is not None:
            await self.execute("UPDATE chain_lanes SET lease_until = clock_timestamp() - interval '1 second'")

    async def set_price(self, usd_e8: int | None = PRICE) -> None:
        price = Price(usd_e8, "fixed", "fixed") if usd_e8 else None
        async with self.context.database.unit_of_work() as session:
            await observe_price(session, price=price, source="fixed")

    async def tell(self, event: Event) -> Envelope:
        """Hand an event to its handler, in a unit of work of its own."""
        self.sequence += 1
        envelope = wrap(event, event_id=new_id(), sequence=self.sequence, time=utc_now(), traceparent=None)
        received = type(event).model_validate(json.loads(envelope.to_bytes())["data"])
        async with self.context.database.unit_of_work() as session:
            await subscriptions.handlers[type(event)](session, received, envelope)
        return envelope

    async def rows(self, statement: Any) -> list[Any]:
        async with self.context.database.unit_of_work() as session:
            return list(await session.execute(statement))

    async def execute(self, sql: str) -> None:
        from sqlalchemy import text

        async with self.context.database.unit_of_work() as session:
            await session.execute(text(sql))

    async def rewards(self, transaction_id: UUID | None = None) -> list[Any]:
        """All rewards, or those of a transaction, client side first."""
        query = select(models.rewards).order_by(models.rewards.c.created_at, models.rewards.c.side)
        if transaction_id is not None:
            query = query.where(models.rewards.c.transaction_id == transaction_id)
        return await self.rows(query)

    async def transaction(self, transaction_id: UUID) -> Any:
        found = await self.rows(
            select(models.transactions).where(models.transactions.c.transaction_id == transaction_id)
        )
        return found[0]

    async def lines(self, beneficiary_id: UUID) -> list[tuple[str, int]]:
        """(code, amount) of the beneficiary's ledger lines, oldest first."""
        table = models.ledger_postings
        query = select(table.c.code, table.c.amount_wei).where(
            table.c.beneficiary_id == beneficiary_id, table.c.is_shown
        )
        return [(row.code, row.amount_wei) for row in await self.rows(query.order_by(table.c.id))]

    async def published(self, kind: str) -> list[dict[str, Any]]:
        """The data of every event of this type in the outbox, in order."""
        query = select(OUTBOX.c.value).where(OUTBOX.c.type == kind).order_by(OUTBOX.c.id)
        return [json.loads(bytes(row.value))["data"] for row in await self.rows(query)]

    async def verify(self) -> None:
        """All that is to be asked of jobs, and what comes of the answers."""
        for _ in range(2):
            await workers.verify_refunds(self.context)
            await workers.verify_transactions(self.context)

    async def dead_letters(self) -> list[tuple[str, str]]:
        """(event id, reason) of what went to the dead-letter topic of transactions, oldest first."""
        query = OUTBOX.select().where(OUTBOX.c.topic == "jobs.transaction.rewards.dlq").order_by(OUTBOX.c.id)
        found = []
        for row in await self.rows(query):
            reason = dict(unpack_headers(bytes(row.headers)))["dlq-reason"].decode()
            found.append((json.loads(bytes(row.value))["id"], reason))
        return found

    async def check_ledger(self) -> None:
        """I2 and I3: rewards by the exact formula, at most one per source, and a ledger that sums to 0."""
        table, rewards = models.ledger_postings, models.rewards
        sums = await self.rows(select(table.c.entry_id, func.sum(table.c.amount_wei)).group_by(table.c.entry_id))
        assert all(total == 0 for _, total in sums)
        for row in await self.rows(select(rewards).where(rewards.c.source_kind == "transaction")):
            await self._check_amount(row)
        sources = [(row.source_kind, row.source_id, row.side, row.kind) for row in await self.rows(select(rewards))]
        assert len(sources) == len(set(sources))
        balance = {
            (row.account, row.reward_id): int(row.total)
            for row in await self.rows(
                select(table.c.account, table.c.reward_id, func.sum(table.c.amount_wei).label("total")).group_by(
                    table.c.account, table.c.reward_id
                )
            )
        }
        for row in await self.rows(select(rewards)):
            # a reversed one whose block went away is reversed still, and waits for another block
            is_paid = row.status == "minted" or (row.status == "reversed" and row.minted_at is not None)
            owed = 0 if is_paid or row.status == "cancelled" else row.amount_wei
            assert balance.get(("payable", row.id), 0) == owed, row
            assert balance.get(("minted", row.id), 0) == row.minted_wei

    async def _check_amount(self, row: Any) -> None:
        told = await self.transaction(row.transaction_id)
        siblings = [each.side for each in await self.rewards(row.transaction_id) if each.source_kind == "transaction"]
        if row.price_usd_e8 is None:
            assert row.amount_wei == 0
            return
        exact = connector_rewards(
            amount_cents=told.amount_cents,
            client_fee_cents=told.client_fee_cents,
            connector_reward_bps=100,
            price_usd_e8=row.price_usd_e8,
            sides=siblings,
        )
        assert row.earned_wei == exact[row.side]
        assert row.amount_wei <= row.earned_wei


class Story:
    """Two connectors, a client and a Talent, and the events of one transaction between them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client, self.talent, self.client_connector, self.talent_connector = (new_id() for _ in range(4))
        self.wallets = {
            self.client_connector: "0x52908400098527886E0F7030069857D2E4169EE7",
            self.talent_connector: "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        }

    def member(self, member_id: UUID, connector_id: UUID | None) -> MemberRegistered:
        self.world.neighbours.members[str(member_id)] = {
            "member_id": str(member_id),
            "connector_id": str(connector_id) if connector_id else None,
            "registered_at": to_rfc3339(JOINED),
        }
        return MemberRegistered(member_id=member_id, roles=[], connector_id=connector_id, registered_at=JOINED)

    def registrations(self) -> list[MemberRegistered]:
        return [
            self.member(self.client, self.client_connector),
            self.member(self.talent, self.talent_connector),
        ]

    def wallet(self, member_id: UUID, address: str | None = None, at: datetime = JOINED) -> WalletPayoutChanged:
        return WalletPayoutChanged(member_id=member_id, address=address or self.wallets[member_id], effective_at=at)

    def completed(self, *, is_true: bool = True, **changes: Any) -> TransactionCompleted:
        """A transaction of $1,000.00; jobs confirms it unless it is not true."""
        event = TransactionCompleted(
            **{
                "transaction_id": new_id(),
                "invoice_id": new_id(),
                "engagement_id": new_id(),
                "client_id": self.client,
                "talent_id": self.talent,
                "provider": "sandbox",
                "amount_cents": 100_000,
                "currency": "USD",
                "client_fee_cents": 10_000,
                "talent_fee_cents": 0,
                "parameters_version": 0,
                "completed_at": utc_now(),
            }
            | changes
        )
        if is_true:
            self.confirm(event)
        return event

    def confirm(self, event: TransactionCompleted) -> None:
        """Let the jobs service say that this happened."""
        body = event.model_dump(mode="json") | {"total_refunded_cents": 0, "total_client_fee_refunded_cents": 0}
        self.world.neighbours.transactions[str(event.transaction_id)] = body | {"id": body["transaction_id"]}

    async def refund(self, event: TransactionCompleted, cents: int, *, before: int = 0) -> TransactionRefunded:
        """A refund, told and verified."""
        refund = self.refunded(event, cents, before=before)
        await self.world.tell(refund)
        await self.world.verify()
        return refund

    def refunded(
        self, event: TransactionCompleted, cents: int, *, before: int = 0, is_true: bool = True
    ) -> TransactionRefunded:
        """A refund of `cents` after `before` cents went back already; fee back above what rewards may have cost.

        Jobs confirms it unless it is not true.
        """
        fee = cents * 800 // 10_000
        refund = TransactionRefunded(
            transaction_id=event.transaction_id,
            refund_id=new_id(),
            refunded_cents=cents,
            total_refunded_cents=before + cents,
            client_fee_refunded_cents=fee,
            total_client_fee_refunded_cents=(before + cents) * 800 // 10_000,
            refunded_at=utc_now(),
        )
        if is_true:
            self.confirm_refund(refund)
        return refund

    def confirm_refund(self, refund: TransactionRefunded) -> None:
        """Let the jobs service say that this went back."""
        body, jobs = refund.model_dump(mode="json"), self.world.neighbours
        jobs.refunds[body["transaction_id"], body["refund_id"]] = body
        if body["transaction_id"] in jobs.transactions:
            whole = jobs.transactions[body["transaction_id"]]
            for total in ("total_refunded_cents", "total_client_fee_refunded_cents"):
                whole[total] = max(whole[total], body[total])

    async def begin(self, *, wallets: bool = True) -> None:
        """Members are registered, wallets set, and there is a price."""
        await self.world.set_price()
        for event in self.registrations():
            await self.world.tell(event)
        if wallets:
            for member_id in self.wallets:
                await self.world.tell(self.wallet(member_id))

    async def pay(self, **changes: Any) -> TransactionCompleted:
        """A completed transaction, told and verified."""
        event = self.completed(**changes)
        await self.world.tell(event)
        await self.world.verify()
        return event


def parameters(version: int, **changes: int) -> ParameterChanged:
    """A version of the whole set of parameters, in force since the start of the year."""
    from events.governance import GENESIS_PARAMETERS

    return ParameterChanged(version=version, parameters=GENESIS_PARAMETERS | changes, effective_at=JOINED)
