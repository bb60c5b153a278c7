"""Fixtures every test folder uses: one PostgreSQL cluster for the run, databases from it, clients of applications."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from chassis.embedded_postgres import Cluster
from chassis.localkafka import LocalKafka, reason_unusable
from chassis.testing import TokenMint, fresh_database, running
from tests.shared_kafka import SharedKafka, shared_bootstrap

_CLUSTER: list[Cluster] = []
_KAFKA: list[SharedKafka] = []
_LEFT_OUT: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the run (not its xdist workers) starts the cluster, lazily otherwise."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        _start_cluster()
        _kafka_folder()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whoever started the cluster removes it."""
    for cluster in _CLUSTER:
        cluster.remove()
    if _CLUSTER:
        os.environ.pop("TEST_POSTGRES_DSN", None)
    _CLUSTER.clear()
    for kafka in _KAFKA:
        kafka.remove()
    if _KAFKA:
        os.environ.pop("TEST_KAFKA_FOLDER", None)
    _KAFKA.clear()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where no broker can run, the tests that need one are left out, and the last lines say so."""
    wanted = [item for item in items if item.get_closest_marker("kafka")]
    if wanted and (reason := reason_unusable()):
        _LEFT_OUT.append(reason)
        items[:] = [item for item in items if item not in wanted]
        config.hook.pytest_deselected(items=wanted)


def _reason_left_out(config: pytest.Config) -> str | None:
    if config.getoption("numprocesses", None):  # the workers collect, this process sums up
        return reason_unusable()
    return _LEFT_OUT[0] if _LEFT_OUT else None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a lane that cannot run is a failure."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and os.environ.get("CI") == "true" and _reason_left_out(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which lane did not run, and why."""
    if reason := _reason_left_out(config):
        terminalreporter.write_line(f"The Kafka lane did not run: {reason}", red=True)


def _start_cluster() -> str:
    if "TEST_POSTGRES_DSN" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="btrst-test-", dir="/var/tmp"))
        folder.chmod(0o711)
        cluster = Cluster(folder, durable=False)
        cluster.start()
        _CLUSTER.append(cluster)
        os.environ["TEST_POSTGRES_DSN"] = cluster.dsn()
    return os.environ["TEST_POSTGRES_DSN"]


def _kafka_folder() -> Path:
    """Where the run's broker is to be asked for; it starts when it is."""
    if "TEST_KAFKA_FOLDER" not in os.environ:
        _KAFKA.append(SharedKafka())
        os.environ["TEST_KAFKA_FOLDER"] = str(_KAFKA[0].folder)
    return Path(os.environ["TEST_KAFKA_FOLDER"])


@pytest.fixture(scope="session")
def postgres_dsn() -> str:
    """The DSN of the run's PostgreSQL server (its maintenance database)."""
    return _start_cluster()


@pytest.fixture(scope="session")
def local_kafka() -> Iterator[LocalKafka]:
    """One running broker for the tests of this process (marked `kafka`): topics of one test are there for the next."""
    with tempfile.TemporaryDirectory(prefix="btrst-test-", dir="/var/tmp") as folder:
        kafka = LocalKafka(Path(folder))
        kafka.start()
        try:
            yield kafka
        finally:
            kafka.kill()


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """The address of the run's Kafka broker, "host:port": one for all, so topics need names of the test's own."""
    return shared_bootstrap(_kafka_folder())


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
