"""Fixtures every test folder uses: one PostgreSQL cluster for the run, databases from it, clients of applications."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from chassis.embedded_postgres import Cluster
from chassis.testing import TokenMint, fresh_database, running

_CLUSTER: list[Cluster] = []


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the run (not its xdist workers) starts the cluster, lazily otherwise."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        _start_cluster()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whoever started the cluster removes it."""
    for cluster in _CLUSTER:
        cluster.remove()
    if _CLUSTER:
        os.environ.pop("TEST_POSTGRES_DSN", None)
    _CLUSTER.clear()


def _start_cluster() -> str:
    if "TEST_POSTGRES_DSN" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="btrst-test-", dir="/var/tmp"))
        folder.chmod(0o711)
        cluster = Cluster(folder, durable=False)
        cluster.start()
        _CLUSTER.append(cluster)
        os.environ["TEST_POSTGRES_DSN"] = cluster.dsn()
    return os.environ["TEST_POSTGRES_DSN"]


@pytest.fixture(scope="session")
def postgres_dsn() -> str:
    """The DSN of the run's PostgreSQL server (its maintenance database)."""
    return _start_cluster()


@pytest.fixture
def new_database(postgres_dsn: str) -> Callable[..., AbstractAsyncContextManager[str]]:
    """`async with new_database("services/jobs/migrations") as dsn`: a fresh database, migrated when a path is given."""

    def make(location: str | None = None) -> AbstractAsyncContextManager[str]:
        return fresh_database(postgres_dsn, location)

    return make


@pytest.fixture
async def empty_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database."""
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture
def mint() -> TokenMint:
    """Mints access tokens; also the token source that accepts them."""
    return TokenMint()


@pytest.fixture
def client_for() -> Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """`async with client_for(app) as client`: the application runs with its lifespan, called without a socket."""

    @asynccontextmanager
    async def make(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        async with running(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                yield client

    return make
