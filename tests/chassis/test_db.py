"""A process that stands still: what it holds in the database is free again while it still stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import chassis.db
from chassis.db import Database, Session
from chassis.retries import is_transient


@asynccontextmanager
async def database_of(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn)
    try:
        yield database
    finally:
        await database.close()


async def lock(session: Session, number: int) -> None:
    await session.execute(text("SELECT number FROM numbers WHERE number = :number FOR UPDATE"), {"number": number})


async def test_its_locks_are_freed_also_those_of_its_units_of_work_that_wait_for_each_other(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many units of work stand: the first holds a row, each other one its own and wants the first's."""
    async with database_of(empty_dsn) as patient:
        async with patient.unit_of_work() as session:
            await session.execute(text("CREATE TABLE numbers AS SELECT generate_series(1, 15) AS number"))
        monkeypatch.setattr(chassis.db, "FROZEN_SECONDS", 1)
        stands = asyncio.Event()
        failures: list[BaseException] = []

        async def stand(database: Database, number: int) -> None:
            try:
                async with database.unit_of_work() as session:
                    await lock(session, number)
                    if number > 1:
                        await lock(session, 1)
                    await stands.wait()
                    await session.execute(text("SELECT 1"))
            except DBAPIError as error:
                failures.append(error)
                await stands.wait()

        async with database_of(empty_dsn) as frozen:
            standing = [asyncio.create_task(stand(frozen, number)) for number in range(1, 16)]
            await asyncio.sleep(0.5)
            try:
                async with asyncio.timeout(9), patient.unit_of_work() as session:
                    for number in range(15, 0, -1):
                        await lock(session, number)
            finally:
                stands.set()
                await asyncio.gather(*standing)
        assert len(failures) == 15
        assert all(is_transient(failure) for failure in failures), failures
