"""A process that only answers requests needs no bus: its events wait in the outbox for the worker."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI

from chassis.app import create_app
from services.jobs.app import SERVICE
from services.jobs.settings import JobsSettings
from tests.conftest import TokenMint

ClientFor = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.mark.parametrize("role", ["api", "worker"])
async def test_only_a_worker_has_a_bus(
    role: str, new_database: Callable[..., AbstractAsyncContextManager[str]], client_for: ClientFor, mint: TokenMint
) -> None:
    async with new_database("services/jobs/migrations") as dsn, new_database() as bus_dsn:
        bus_url = "" if role == "api" else bus_dsn
        settings = JobsSettings(environment="test", role=role, database_url=dsn, bus_url=bus_url)
        async with client_for(create_app(SERVICE, settings=settings, token_source=mint)) as http:
            ready = await http.get("/readyz")
            assert ready.status_code == 200
            assert ("bus" in ready.json()["checks"]) is (role == "worker")
            assert (await http.get("/v1/jobs")).status_code == (200 if role == "api" else 404)
