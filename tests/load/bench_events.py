"""`make bench-events`: how fast events go, beside a bare aiokafka loop and `pgbench` with the same statements.

Everything is measured in turns, several rounds in one run, and told as the median and as a ratio: this machine's
own speed then falls out. Ends with one line `RESULT {json}`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from chassis.bus import Bus, Record, bus_from_url
from chassis.db import Database
from chassis.embedded_postgres import Cluster, PostgresUnusable
from chassis.localkafka import KafkaUnusable, LocalKafka
from chassis.telemetry import configure_logging
from chassis.testing import fresh_database
from tests.load import pgbench
from tests.load.events_world import (
    TOPIC,
    NullBus,
    consume_all,
    drain_outbox,
    fill_outbox,
    latencies,
    make_tables,
    payments,
)

CHUNK = 1_000
KINDS = ("embedded", "kafka")
PRODUCE = "bare aiokafka produce, events/s"
RELAY = "relay to the null bus, rows/s"
PUBLISH = "kafka bus, publish only, events/s"
BARE = "bare aiokafka through and out, events/s"
THROUGHPUT = "{} bus through and out, events/s"
CONSUMER = "consumer with inbox on {}, events/s"
PGBENCH = "pgbench, same statements, events/s"
LATENCY = "commit → handler on {}, p{} ms"
Measures = dict[str, list[float]]


class Bench:
    """The real parts, and the figures found so far, by name."""

    def __init__(self, dsn: str, bootstrap: str, folder: Path, *, events: int) -> None:
        self.dsn = dsn
        self.bootstrap = bootstrap
        self.script = pgbench.script(folder)
        self.events = events
        self.found: Measures = {}

    def note(self, name: str, value: float) -> None:
        """One more figure of a measurement."""
        self.found.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The middle one."""
        return statistics.median(self.found[name])

    def ratio(self, ours: str, peer: str) -> float:
        """The middle one of the rounds' ratios: both sides of each were measured within the same minute."""
        return statistics.median(mine / its for mine, its in zip(self.found[ours], self.found[peer], strict=True))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """A fresh database with the chassis' tables."""
        async with fresh_database(self.dsn) as own:
            database = Database(own, pool_size=10)
            await make_tables(database)
            yield database
            await database.close()

    @asynccontextmanager
    async def bus(self, kind: str) -> AsyncIterator[Bus]:
        """An empty bus of one kind."""
        async with AsyncExitStack() as stack:
            if kind == "kafka":
                bus = bus_from_url(f"kafka://{self.bootstrap}")
                await forget_topics(self.bootstrap)
            else:
                bus = bus_from_url(await stack.enter_async_context(fresh_database(self.dsn)))
            stack.push_async_callback(bus.close)
            await bus.create_topics([TOPIC])
            yield bus

    async def produce(self) -> None:
        """A bare aiokafka loop, and nothing around it."""
        async with self.bus("kafka"):
            records = payments(self.events)
            async with bare_producer(self.bootstrap) as producer:
                started = time.perf_counter()
                await bare_write(producer, records)
                self.note(PRODUCE, len(records) / (time.perf_counter() - started))

    async def publish(self) -> None:
        """The same records by our bus on Kafka."""
        async with self.bus("kafka") as bus:
            records = payments(self.events)
            await bus.publish(payments(1))  # as the bare one, it has its connections
            started = time.perf_counter()
            await write(bus, records)
            self.note(PUBLISH, len(records) / (time.perf_counter() - started))

    async def bare_throughput(self) -> None:
        """A bare producer and a bare member of a group at the same time: the peer of `throughput`."""
        async with self.bus("kafka"), bare_producer(self.bootstrap) as producer:
            records = payments(self.events)
            options = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
            consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=self.bootstrap, group_id="bare", **options)
            await consumer.start()  # it has its partitions when this returns
            started, count = time.perf_counter(), 0
            writing = asyncio.create_task(bare_write(producer, records))
            while count < len(records):
                found = await consumer.getmany(timeout_ms=1_000, max_records=CHUNK)
                count += sum(map(len, found.values()))
            self.note(BARE, self.events / (time.perf_counter() - started))
            await writing
            await consumer.stop()

    async def relay(self, kind: str) -> None:
        """The relay: read unsent rows, hand them to the bus, mark them."""
        async with self.database() as database, self.bus(kind) if kind != "null" else null_bus() as bus:
            await fill_outbox(database, self.events)
            seconds = await drain_outbox(database, bus, self.events)
        self.note(f"relay to the {kind} bus, rows/s", self.events / seconds)

    async def throughput(self, kind: str) -> None:
        """Through a bus and out again: one writer and one reader at the same time."""
        async with self.bus(kind) as bus:
            records = payments(self.events)
            member = await bus.consume("throughput", [TOPIC])
            started = time.perf_counter()
            writing = asyncio.create_task(write(bus, records))
            count = 0
            while count < len(records):
                count += len(await member.fetch(max_records=CHUNK, timeout_seconds=1.0))
            seconds = time.perf_counter() - started
            await writing
            await member.close()
        self.note(THROUGHPUT.format(kind), self.events / seconds)

    async def consumer(self, kind: str) -> None:
        """The consumer with its inbox, and a handler that writes one row."""
        async with self.database() as database, self.bus(kind) as bus:
            await write(bus, payments(self.events))
            seconds = await consume_all(database, bus, self.events)
        self.note(CONSUMER.format(kind), self.events / seconds)

    async def pgbench(self, seconds: int) -> None:
        """The same statements, sent by PostgreSQL's own tool."""
        async with self.database() as database:
            async with database.engine.begin() as connection:
                await connection.exec_driver_sql("CREATE SEQUENCE pgbench_ids CACHE 1000")
            rate = await pgbench.consume(database.dsn, self.script, seconds)
        self.note(PGBENCH, rate)

    async def latency(self, kind: str, count: int) -> None:
        """From a commit to the handler, one event at a time."""
        async with self.database() as database, self.bus(kind) as bus:
            found = await latencies(database, bus, count)
        self.note(LATENCY.format(kind, 50), statistics.median(found))
        self.note(LATENCY.format(kind, 99), statistics.quantiles(found, n=100)[98])


@asynccontextmanager
async def bare_producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """aiokafka's own, as safe as ours: idempotent, acknowledged by all."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    yield producer
    await producer.stop()


async def bare_write(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Send in batches and wait for each batch's acknowledgements."""
    for start in range(0, len(records), CHUNK):
        sent = [
            await producer.send(TOPIC, record.value, key=record.key, headers=list(record.headers))
            for record in records[start : start + CHUNK]
        ]
        await asyncio.gather(*sent)


@asynccontextmanager
async def null_bus() -> AsyncIterator[Bus]:
    """A bus that takes everything and does nothing."""
    yield NullBus()


async def write(bus: Bus, records: Sequence[Record]) -> None:
    """Publish in batches, as a relay does."""
    for start in range(0, len(records), CHUNK):
        await bus.publish(records[start : start + CHUNK])


async def forget_topics(bootstrap: str) -> None:
    """Delete the benchmark's topic, so that each measurement begins on an empty one."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if TOPIC in await admin.list_topics():
            await admin.delete_topics([TOPIC])
            while TOPIC in await admin.list_topics():  # noqa: ASYNC110 - the broker rings no bell
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def measure(bench: Bench, rounds: int, console: Console) -> None:
    """All measurements in turns."""
    turns: list[Callable[[], Awaitable[None]]] = [
        bench.produce,
        bench.publish,
        bench.bare_throughput,
        lambda: bench.throughput("kafka"),
        lambda: bench.relay("null"),
        lambda: bench.relay("embedded"),
        lambda: bench.relay("kafka"),
        lambda: bench.throughput("embedded"),
        lambda: bench.consumer("embedded"),
        lambda: bench.pgbench(2),
        lambda: bench.consumer("kafka"),
        lambda: bench.latency("embedded", 200),
        lambda: bench.latency("kafka", 200),
    ]
    await bench.produce()  # a broker's JVM is slow at first, which would flatter us
    bench.found.clear()
    for number in range(rounds):
        for turn in turns:
            await turn()
        console.print(f"round {number + 1} of {rounds} done", style="dim")


def report(bench: Bench, console: Console) -> dict[str, float]:
    """Print every median with its spread; the figures of the last line."""
    table = Table("measured", "median", "lowest", "highest")
    for name, values in bench.found.items():
        table.add_row(name, *(f"{value:,.1f}" for value in (statistics.median(values), min(values), max(values))))
    console.print(table)
    for name, ours, bare in (("publish", PUBLISH, PRODUCE), ("through and out", THROUGHPUT.format("kafka"), BARE)):
        console.print(f"kafka bus against bare aiokafka, {name}: {bench.ratio(ours, bare):.2f}")
    return {
        "relay_vs_produce": round(bench.ratio(RELAY, PRODUCE), 2),
        "consumer_vs_pgbench": round(min(bench.ratio(CONSUMER.format(kind), PGBENCH) for kind in KINDS), 2),
        "kafka_events_per_second": round(bench.median(THROUGHPUT.format("kafka"))),
        "embedded_p50_ms": round(bench.median(LATENCY.format("embedded", 50)), 2),
        "kafka_p50_ms": round(bench.median(LATENCY.format("kafka", 50)), 2),
    }


@contextmanager
def state_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="btrst-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


async def run(events: int, rounds: int) -> dict[str, float]:
    """Start the real parts, measure, stop them. Raises: PostgresUnusable, KafkaUnusable, PgbenchMissing."""
    console = Console(width=110)
    configure_logging("ERROR", service="bench")
    pgbench.find_pgbench()
    with state_folder() as folder:
        cluster, kafka = Cluster(folder / "database"), LocalKafka(folder / "kafka")
        try:
            cluster.start()
            await asyncio.to_thread(kafka.start)
            bench = Bench(cluster.dsn(), kafka.bootstrap, folder, events=events)
            await measure(bench, rounds, console)
            return report(bench, console)
        finally:
            kafka.stop()
            cluster.remove()


def main() -> int:
    """Print the table and the RESULT line; 1 with one clear line when a part is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="events of each measurement")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    try:
        result = uvloop.run(run(given.events, given.rounds))  # as uvicorn runs the services
    except (PostgresUnusable, KafkaUnusable, pgbench.PgbenchMissing) as error:
        print(f"bench-events cannot run: {error}", file=sys.stderr)
        return 1
    print(f"RESULT {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
