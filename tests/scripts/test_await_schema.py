"""A pod waits until the schema is there, and an older version does not wait for a newer schema to go away."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

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


async def test_the_init_container_does_it(new_database: NewDatabase, tmp_path: Path) -> None:
    async with new_database("services/jobs/migrations") as dsn, new_database() as empty:
        (tmp_path / "JOBS_DATABASE_URL").write_text(dsn)
        (tmp_path / "REWARDS_DATABASE_URL").write_text(empty)
        clean = {name: value for name, value in os.environ.items() if not name.endswith("_DATABASE_URL")}
        environment = clean | {"SECRETS_DIR": str(tmp_path), "AWAIT_SCHEMA_SECONDS": "0"}
        for service, code, told in (
            ("jobs", 0, ""),
            ("rewards", 1, "rewards: the database lacks a migration"),
            ("x", 2, "usage"),
        ):
            command = [sys.executable, "-m", "scripts.await_schema", service]
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, cwd=ROOT, stderr=asyncio.subprocess.PIPE
            )
            _, errors = await process.communicate()
            assert process.returncode == code, errors
            assert errors.decode().startswith(told)
