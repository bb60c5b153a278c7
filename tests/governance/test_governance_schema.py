"""The migrations against the tables, and what the service tells of itself."""

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from chassis import migrations
from chassis.db import Database
from chassis.testing import ROOT, fresh_database
from events.governance import GENESIS_PARAMETERS
from services.governance.app import build
from services.governance.models import metadata
from tests.governance.conftest import MIGRATIONS, Running


async def test_the_migrations_make_the_tables_and_unmake_them(postgres_dsn: str) -> None:
    location = ROOT / MIGRATIONS
    async with fresh_database(postgres_dsn) as dsn:
        for _ in range(2):
            await asyncio.to_thread(migrations.upgrade, dsn, location)
            database = Database(dsn)
            async with database.engine.connect() as connection:
                differences = await connection.run_sync(
                    lambda plain: compare_metadata(MigrationContext.configure(plain), metadata)
                )
            await database.close()
            assert differences == []
            await asyncio.to_thread(migrations.downgrade, dsn, location, "base")


async def test_version_0_in_the_database_is_the_genesis_set(service: Running) -> None:
    shown = (await service.client.get("/v1/parameters")).json()
    assert {item["name"]: int(item["value"]) for item in shown["items"]} == GENESIS_PARAMETERS
    assert shown["effective_at"] == "1970-01-01T00:00:00Z"


def operations() -> dict[str, dict[str, Any]]:
    paths = build().openapi()["paths"]
    return {f"{method.upper()} {path}": about for path, found in paths.items() for method, about in found.items()}


def test_every_call_of_the_interface_is_there() -> None:
    found = operations()
    assert set(found) == {
        "POST /v1/proposals",
        "GET /v1/proposals",
        "GET /v1/proposals/{proposal_id}",
        "GET /v1/proposals/{proposal_id}/ballot",
        "POST /v1/proposals/{proposal_id}/votes",
        "GET /v1/proposals/{proposal_id}/votes",
        "GET /v1/proposals/{proposal_id}/results",
        "POST /v1/proposals/{proposal_id}/onchain-votes",
        "GET /v1/parameters",
        "GET /v1/parameters/history",
        "GET /v1/voting-power/{address}",
        "GET /v1/delegations/typed-data",
        "POST /v1/delegations",
    }
    assert [name for name, about in found.items() if about.get("security")] == ["POST /v1/proposals"]
