"""The running service as a fixture."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI

from tests.identity.world import World, identity_app

MIGRATIONS = "services/identity/migrations"
ClientFor = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]
NewDatabase = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
async def identity_dsn(new_database: NewDatabase) -> AsyncIterator[str]:
    """The DSN of an empty, migrated database."""
    async with new_database(MIGRATIONS) as dsn:
        yield dsn


@pytest.fixture
async def world(identity_dsn: str, client_for: ClientFor) -> AsyncIterator[World]:
    """Identity with its first administrator and nobody else."""
    app = identity_app(identity_dsn)
    async with client_for(app) as http:
        yield World(app, http, identity_dsn)
