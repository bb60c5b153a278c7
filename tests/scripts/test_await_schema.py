"""A pod waits until the schema is there, and an older version does not wait for a newer schema to go away."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg

from chassis import migrations
from chassis.testing import ROOT
from scripts.await_schema import wait_for_schema

JOBS = ROOT / "services/jobs/migrations"
REWARDS = ROOT / "services/rewards/migrations"
NewDatabase = Callable[..., AbstractAsyncContextManager[str]]


async def test_it_waits_for_the_migration(empty_dsn: str) -> None:
    waiting = asyncio.create_task(wait_for_schema(empty_dsn, JOBS, seconds=60))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert done == set()
    await asyncio.to_thread(migrations.upgrade, empty_dsn, JOBS)
    assert await waiting == ""


async def test_half_of_the_migrations_is_not_enough(empty_dsn: str) -> None:
    await asyncio.to_thread(migrations.upgrade, empty_dsn, REWARDS, "0001")
    assert "lacks a migration" in await wait_for_schema(empty_dsn, REWARDS, seconds=0)


async def test_a_newer_schema_lets_an_older_version_start(new_database: NewDatabase) -> None:
    async with new_database("services/jobs/migrations") as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await connection.close()
        assert await wait_for_schema(dsn, JOBS, seconds=0) == ""


async def test_it_says_why_it_gave_up(empty_dsn: str) -> None:
    assert "lacks a migration" in await wait_for_schema(empty_dsn, JOBS, seconds=0)
    assert "does not answer" in await wait_for_schema("postgresql://postgres@127.0.0.1:1/x", JOBS, seconds=0)
