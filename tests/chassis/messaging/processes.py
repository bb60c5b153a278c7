"""Consumers as processes of their own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from chassis.bus_sql import SqlBus
from chassis.db import Database
from tests.chassis.messaging.kafka import PrivateKafka
from tests.chassis.messaging.samples import effects

ROOT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def consumer_process(
    database: Database, bus: SqlBus | PrivateKafka, failpoint: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that consumes and relays inside the block, unless it is killed before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chassis.messaging.consumer_process",
        database.dsn,
        bus.dsn,
        failpoint,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def count_effects(database: Database) -> int:
    """How many effects there are."""
    async with database.unit_of_work() as session:
        return int(await session.scalar(sa.select(sa.func.count()).select_from(effects)))
