"""Each service's migrations against its tables: one line of revisions, no drift, and a way back."""

import asyncio
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from chassis import migrations
from chassis.db import Database
from chassis.testing import ROOT, fresh_database

SERVICES = ("identity", "jobs", "rewards", "governance")


def revisions(service: str) -> list[str]:
    """Oldest first."""
    scripts = ScriptDirectory(str(ROOT / "services" / service / "migrations"))
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


@pytest.mark.parametrize("service", SERVICES)
def test_the_revisions_are_one_numbered_line(service: str) -> None:
    known = revisions(service)
    assert known == [f"{number:04}" for number in range(1, len(known) + 1)]
    assert len(ScriptDirectory(str(ROOT / "services" / service / "migrations")).get_heads()) == 1


@pytest.mark.parametrize("service", SERVICES)
async def test_every_revision_goes_forward_and_back_and_the_last_makes_the_tables(
    service: str, postgres_dsn: str
) -> None:
    location = ROOT / "services" / service / "migrations"
    tables: MetaData = import_module(f"services.{service}.models").metadata

    def drift(connection: Connection) -> list[object]:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), tables)
        return found

    async with fresh_database(postgres_dsn) as dsn:
        for target in revisions(service):
            await asyncio.to_thread(migrations.upgrade, dsn, location, target)
        for target in (*reversed(revisions(service)[:-1]), "base"):
            await asyncio.to_thread(migrations.downgrade, dsn, location, target)
        await asyncio.to_thread(migrations.upgrade, dsn, location)
        database = Database(dsn)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(drift) == []
        await database.close()
