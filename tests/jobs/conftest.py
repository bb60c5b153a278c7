"""Fixtures of the jobs tests."""

from collections.abc import AsyncIterator

import pytest

from chassis.testing import fresh_database
from tests.jobs.world import World, world_on


@pytest.fixture
async def world(postgres_dsn: str) -> AsyncIterator[World]:
    """A running jobs service on a database of its own."""
    async with fresh_database(postgres_dsn, "services/jobs/migrations") as dsn, world_on(dsn) as world:
        yield world
