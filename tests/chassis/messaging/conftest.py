"""Buses to test: the contract is one, the implementations are three."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from chassis.bus import Bus
from chassis.bus_memory import MemoryBus
from chassis.bus_sql import SqlBus
from chassis.db import Database
from chassis.telemetry import configure_logging
from chassis.testing import fresh_database
from tests.chassis.messaging.kafka import PrivateKafka, private_kafka
from tests.chassis.messaging.samples import TOPIC, database_with_tables

LEASE_SECONDS = 1.0


@pytest.fixture(scope="session", autouse=True)
def logging() -> None:
    """The logs of production: the ones structlog starts with take a second to draw a traceback."""
    configure_logging("WARNING", service="test")


@pytest.fixture(autouse=True)
def aiokafkas_own_litter(request: pytest.FixtureRequest) -> Iterator[None]:
    """A client that lost its broker leaves connections to the garbage collector. It shall find them in the test that
    made them, where that is forgiven, and not in the next one; what our own code leaves shows on the other buses."""
    of_kafka = request.node.get_closest_marker("kafka")
    if of_kafka:
        request.node.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
    yield
    if of_kafka:
        gc.collect()


@pytest.fixture
async def bus_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database for a log."""
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture
async def sql_bus(bus_dsn: str) -> AsyncIterator[SqlBus]:
    """A log in PostgreSQL with the sample topic."""
    bus = SqlBus(bus_dsn, lease_seconds=LEASE_SECONDS)
    await bus.create_topics([TOPIC])
    yield bus
    await bus.close()


@pytest.fixture
async def kafka_bus(kafka_bootstrap: str) -> AsyncIterator[PrivateKafka]:
    """A bus on the run's broker with the sample topic, for this test alone."""
    async with private_kafka(kafka_bootstrap) as bus:
        await bus.create_topics([TOPIC])
        yield bus


@pytest.fixture(params=["memory", "sql", pytest.param("kafka", marks=pytest.mark.kafka)])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """Each bus in turn, with the sample topic."""
    if request.param == "kafka":
        async with private_kafka(request.getfixturevalue("kafka_bootstrap")) as kafka:
            await kafka.create_topics([TOPIC])
            yield kafka
        return
    if request.param == "sql":
        # Asked for here, so that the bus in memory needs no server; the loop is running, hence the detour.
        dsn: str = request.getfixturevalue("postgres_dsn")
        async with fresh_database(dsn) as own:
            bus: Bus = SqlBus(own, lease_seconds=LEASE_SECONDS)
            await bus.create_topics([TOPIC])
            yield bus
            await bus.close()
    else:
        bus = MemoryBus(lease_seconds=LEASE_SECONDS)
        await bus.create_topics([TOPIC])
        yield bus
        await bus.close()


@pytest.fixture
async def database(empty_dsn: str) -> AsyncIterator[Database]:
    """A service's database."""
    database = await database_with_tables(empty_dsn)
    yield database
    await database.close()
