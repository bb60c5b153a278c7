"""Identity as it is really served, one process or two, with a bus that tests put events on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI

from chassis.app import create_app
from chassis.bus import Record
from chassis.bus_memory import MemoryBus
from chassis.clock import utc_now
from chassis.envelope import Event, wrap
from chassis.ids import new_id
from chassis.testing import TokenMint
from events.jobs import JobOpened
from events.registry import TOPICS
from services.identity.app import SERVICE
from services.identity.settings import IdentitySettings
from tests.gateway.servers import served
from tests.identity.world import INTERNAL_SECRET, KEY_SECRET

OPENED = JobOpened.type_


@dataclass
class Feeds:
    """The servers, by port; the bus and the database behind them."""

    dsn: str
    mint: TokenMint
    bus: MemoryBus = field(default_factory=MemoryBus)
    apps: list[FastAPI] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    told: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.ports[0]

    async def tell(self, *events: Event) -> list[UUID]:
        """Put events on the bus, in this order; their ids."""
        ids, records = [], []
        for event in events:
            key = (event.topic(), event.key())
            self.told[key] = self.told.get(key, 0) + 1
            ids.append(new_id())
            envelope = wrap(event, event_id=ids[-1], sequence=self.told[key], time=utc_now(), traceparent=None)
            records.append(Record(event.topic(), event.key().encode(), envelope.to_bytes()))
        await self.bus.publish(records)
        return ids

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def recorded(self, member_id: UUID) -> int:
        """How many entries the member's feed has had."""
        rows = await self.fetch("SELECT last FROM feed_heads WHERE member_id = $1", member_id)
        return int(rows[0]["last"]) if rows else 0


@asynccontextmanager
async def feeds(
    dsn: str, mint: TokenMint, *, processes: int = 1, roles: Sequence[str] = (), **changes: Any
) -> AsyncIterator[Feeds]:
    """Identity on the database `dsn`, by so many processes' worth of servers, or by one of each role."""
    found = Feeds(dsn, mint)
    await found.bus.create_topics(TOPICS)
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": dsn,
        "internal_secret": INTERNAL_SECRET,
        "key_secret": KEY_SECRET,
    }
    async with AsyncExitStack() as stack:
        for role in roles or ["all"] * processes:
            settings = IdentitySettings(**(values | {"role": role} | changes))
            app = create_app(SERVICE, settings=settings, bus=found.bus, token_source=mint)
            found.apps.append(app)
            found.ports.append(await stack.enter_async_context(served(app, lifespan="on")))
        yield found


def job_opened(client_id: UUID, *, title: str = "Solidity engineer") -> JobOpened:
    """Something that concerns one member; all of one member's have one key, and so one order."""
    return JobOpened(job_id=client_id, client_id=client_id, title=title, opened_at=utc_now())
