"""A broker of these tests' own, so that topics have their real names, and the story's events on it."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chassis.bus_kafka import KafkaBus
from chassis.localkafka import LocalKafka, Secured
from chassis.settings import KafkaSettings

SASL = Secured("SASL_PLAINTEXT", ("SCRAM-SHA-512",))
PASSWORD = "only the tests of consumers know it"


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalKafka]:
    """A broker with an open listener, and one that asks for the password of `books`."""
    with tempfile.TemporaryDirectory(prefix="btrst-test-", dir="/var/tmp") as folder:
        kafka = LocalKafka(Path(folder), secured=[SASL], users={"books": PASSWORD})
        kafka.start()
        try:
            yield kafka
        finally:
            kafka.kill()


@pytest.fixture
async def bus(broker: LocalKafka) -> AsyncIterator[KafkaBus]:
    """Our own way to that broker."""
    bus = KafkaBus(f"kafka://{broker.bootstrap}", KafkaSettings())
    yield bus
    await bus.close()
