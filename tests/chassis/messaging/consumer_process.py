"""A consumer as a process of its own, to be killed: `consumer_process.py DATABASE_DSN BUS_DSN [FAILPOINT]`.

The bus is `postgresql://…`, or `kafka://host:port/PREFIX` for a part of a broker.
"""

import asyncio
import sys

from chassis import failpoints
from chassis.bus import Bus
from chassis.bus_sql import SqlBus
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.outbox import Relay
from chassis.telemetry import configure_logging
from tests.chassis.messaging.kafka import PrivateKafka
from tests.chassis.messaging.samples import REGISTRY, Recorder


def bus_of(dsn: str) -> Bus:
    """The bus that the test uses, too."""
    if dsn.startswith("kafka://"):
        bootstrap, _, prefix = dsn.removeprefix("kafka://").partition("/")
        return PrivateKafka(bootstrap, prefix)
    return SqlBus(dsn)


async def main(dsn: str, bus_dsn: str, failpoint: str = "") -> None:
    """Handle events, slowly, until killed."""
    configure_logging("WARNING", service="shop")
    failpoints.arm(failpoint, allowed=True)
    recorder = Recorder()
    recorder.pause_seconds = 0.005
    database, bus = Database(dsn), bus_of(bus_dsn)
    consumer = Consumer(database, bus, recorder.subscriptions, registry=REGISTRY, batch_size=20)
    stopping = asyncio.Event()
    await asyncio.gather(consumer.run(stopping), Relay(database, bus).run(stopping))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
