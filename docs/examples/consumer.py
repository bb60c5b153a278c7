"""A consumer of the network's events that stands alone: it needs Python 3.11 and aiokafka, and nothing of this project.

It books what each Talent was paid, refunds taken off, in a SQLite file. Copy it, keep the order of its steps, and put
your own effect in the place of `Books.book`:

1. The effect, the event's id and the key's sequence are stored in one database transaction; only then is the offset
   committed. Killed anywhere in between, it gets the event again, finds the id, and does nothing.
2. `sequence` counts the events of a key, of all types, without a gap. If it jumps, events are missing: it stops.
3. A type or a field it does not know is ignored, but counted: new ones come without a new version.
4. What can never be handled is copied to `<topic>.<group>.dlq` and does not stand in the way of the rest.
5. A failure that may pass is tried again, with longer and longer pauses; nothing is skipped for it.

All instances of a group must share one database: partitions move between them.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.helpers import create_ssl_context

COMPLETED = "jobs.transaction.completed.v1"
REFUNDED = "jobs.transaction.refunded.v1"

TABLES = """
CREATE TABLE IF NOT EXISTS handled (event_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS sequences (topic TEXT, key TEXT, last INTEGER NOT NULL, PRIMARY KEY (topic, key));
CREATE TABLE IF NOT EXISTS bookings (
    event_id TEXT PRIMARY KEY, transaction_id TEXT NOT NULL, talent_id TEXT NOT NULL, cents INTEGER NOT NULL
);
"""


class Poison(Exception):
    """No event, or none that anybody could ever handle: the message says why."""


class Gap(Exception):
    """Events of a key are missing before this one."""


class Books:
    """The effects, and what is needed to have each of them once and in order. One file for all instances."""

    def __init__(self, path: str, check: Callable[[dict], None]) -> None:
        self._check = check
        self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.executescript(TABLES)

    def handle(self, topic: str, event: dict, *, refused: bool = False) -> str:
        """Let `event` take effect, or only count it when it was `refused`.

        Gives "again" when it had its effect before, else "handled", "ignored" (its type is not ours) or "dead".
        Raises: Gap; Poison; sqlite3.OperationalError, which may pass. Nothing is stored then.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            outcome = "again" if self._has(event["id"]) else self._take(topic, event, refused=refused)
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return outcome

    def _has(self, event_id: str) -> bool:
        return bool(self._database.execute("SELECT 1 FROM handled WHERE event_id = ?", [event_id]).fetchone())

    def _take(self, topic: str, event: dict, *, refused: bool) -> str:
        self._count(topic, event["subject"], int(event["sequence"]))
        self._database.execute("INSERT INTO handled VALUES (?)", [event["id"]])
        if refused:
            return "dead"
        self._check(event)
        try:
            return "handled" if self.book(event) else "ignored"
        except (KeyError, TypeError, ValueError, OverflowError, sqlite3.ProgrammingError) as error:
            raise Poison(f"{type(error).__name__}: {error}") from error

    def _count(self, topic: str, key: str, sequence: int) -> None:
        row = self._database.execute("SELECT last FROM sequences WHERE topic = ? AND key = ?", [topic, key]).fetchone()
        last = row[0] if row else 0
        if sequence != last + 1:
            raise Gap(f"{topic} {key}: event {sequence} follows event {last}")
        self._database.execute("INSERT OR REPLACE INTO sequences VALUES (?, ?, ?)", [topic, key, sequence])

    def book(self, event: dict) -> bool:
        """The effect itself. Since a key's events come in order, a refund finds its transaction."""
        data = event["data"]
        if event["type"] == COMPLETED:
            talent, cents = data["talent_id"], data["amount_cents"]
        elif event["type"] == REFUNDED:
            talent, cents = self._talent_of(data["transaction_id"]), -data["refunded_cents"]
        else:
            return False
        values = [event["id"], data["transaction_id"], talent, cents]
        self._database.execute("INSERT INTO bookings VALUES (?, ?, ?, ?)", values)
        return True

    def _talent_of(self, transaction_id: str) -> str:
        query = "SELECT talent_id FROM bookings WHERE transaction_id = ?"
        row = self._database.execute(query, [transaction_id]).fetchone()
        if row is None:
            raise Poison("a refund of a transaction that was never completed")
        return row[0]


class Schemas:
    """The published JSON Schemas, for those who want to check (needs jsonschema)."""

    def __init__(self, folder: str | None) -> None:
        self._validators = {}
        if folder:
            from jsonschema import Draft202012Validator

            for path in Path(folder).glob("*.json"):
                self._validators[path.stem] = Draft202012Validator(json.loads(path.read_text()))

    def check(self, event: dict) -> None:
        """Raises: Poison for an event that is not what its type promises. A type without a schema passes."""
        validator = self._validators.get(event["type"])
        fault = validator and next(validator.iter_errors(event), None)
        if fault:
            raise Poison(f"wrong schema: {fault.json_path}: {fault.message}"[:300])


def decode(record) -> dict:
    """The CloudEvent in a record. Raises: Poison."""
    try:
        event = json.loads(record.value)
        UUID(event["id"])
        texts = [event[name] for name in ("specversion", "type", "subject", "sequence")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Poison(f"no event: {type(error).__name__}: {error}"[:300]) from error
    if not all(isinstance(text, str) for text in texts) or not isinstance(event.get("data"), dict):
        raise Poison("no event: an attribute has the wrong type")
    if event["specversion"] != "1.0" or not event["sequence"].isdecimal():
        raise Poison("no CloudEvent 1.0 with a sequence")
    if record.key is None or record.key != event["subject"].encode(errors="replace"):
        raise Poison("the key is not the subject")
    return event


def security() -> dict:
    """The connection's security from the environment: the same names as the network's own services read."""
    read = os.environ.get
    protocol = read("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    options: dict = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = read("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        options["sasl_plain_username"] = read("KAFKA_SASL_USERNAME")
        options["sasl_plain_password"] = read("KAFKA_SASL_PASSWORD")
    if protocol.endswith("SSL"):
        files = ("KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE")
        ca, cert, key = (read(name) or None for name in files)
        options["ssl_context"] = create_ssl_context(cafile=ca, certfile=cert, keyfile=key)
    return options


class FromStart(ConsumerRebalanceListener):
    """Reads every partition from its beginning: a replay, which changes nothing that is handled."""

    def __init__(self, consumer: AIOKafkaConsumer, *, wanted: bool) -> None:
        self._consumer = consumer
        self._wanted = wanted

    def on_partitions_revoked(self, revoked) -> None:
        """Nothing to save: the effects are."""

    async def on_partitions_assigned(self, assigned) -> None:
        """Go back, when asked to."""
        if self._wanted and assigned:
            await self._consumer.seek_to_beginning(*assigned)


class Reader:
    """Reads a topic for a group until it is told to stop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._books = Books(options.database, Schemas(options.schemas).check)
        self._dead_topic = f"{options.topic}.{options.group}.dlq"
        self._stopping = asyncio.Event()
        common = {"bootstrap_servers": options.bootstrap, **security()}
        self._admin = AIOKafkaAdminClient(**common)
        self._producer = AIOKafkaProducer(enable_idempotence=True, acks="all", max_request_size=8 * 2**20, **common)
        self._consumer = AIOKafkaConsumer(
            group_id=options.group,
            enable_auto_commit=False,  # never before the effect
            auto_offset_reset="earliest",  # a new group begins at the beginning, not at "now"
            session_timeout_ms=int(options.session_seconds * 1000),
            heartbeat_interval_ms=int(options.session_seconds * 300),
            **common,
        )

    async def run(self) -> None:
        """Raises: Gap."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._stopping.set)
        try:
            await self._begin()
            while not self._stopping.is_set():
                batches = await self._consumer.getmany(timeout_ms=500, max_records=self._options.batch)
                for partition, records in batches.items():
                    await self._take(partition, records)
                if not batches and self._options.once and await self._at_end():
                    return
        finally:
            await self._consumer.stop()
            await self._producer.stop()
            await self._admin.close()

    async def _begin(self) -> None:
        await self._admin.start()
        # Brokers make no topic by themselves. One that is there stays as it is; without the right, ask for it.
        await self._admin.create_topics([NewTopic(self._dead_topic, 6, self._options.replicas)])
        await self._producer.start()
        self._consumer.subscribe(
            [self._options.topic], listener=FromStart(self._consumer, wanted=self._options.from_start)
        )
        await self._consumer.start()

    async def _take(self, partition, records) -> None:
        """Every record of a batch in order, then the commit: the offset to read next, so one more than the last."""
        told: Counter = Counter()
        for record in records:
            told[await self._deal_with(record)] += 1
            await asyncio.sleep(self._options.pause_seconds)
        try:
            await self._consumer.commit({partition: records[-1].offset + 1})
        except (CommitFailedError, IllegalStateError) as error:
            # The partition is another instance's now. It will get these events again, and find their ids.
            print(f"not committed: {error}", file=sys.stderr, flush=True)
        print(json.dumps({"partition": partition.partition, "to": records[-1].offset} | told), flush=True)

    async def _deal_with(self, record) -> str:
        try:
            event = decode(record)
        except Poison as poison:
            await self._bury(record, str(poison))
            return "dead"
        try:
            return await self._patiently(record.topic, event)
        except Poison as poison:  # the copy first: killed in between, it is made twice, never not at all
            await self._bury(record, str(poison))
            return await self._patiently(record.topic, event, refused=True)

    async def _patiently(self, topic: str, event: dict, *, refused: bool = False) -> str:
        """Handle it, again and again while the database is away."""
        seconds = 0.1
        while True:
            try:
                return self._books.handle(topic, event, refused=refused)
            except sqlite3.OperationalError as error:
                print(f"waiting: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                seconds = min(seconds * 2, 5.0)

    async def _bury(self, record, reason: str) -> None:
        """A copy with its reason; durable before the offset is committed."""
        headers = [
            *record.headers,
            ("dlq-reason", reason.encode(errors="replace")),
            ("dlq-partition", str(record.partition).encode()),
            ("dlq-offset", str(record.offset).encode()),
            ("dlq-attempts", b"1"),
        ]
        await self._producer.send_and_wait(self._dead_topic, record.value, key=record.key, headers=headers)

    async def _at_end(self) -> bool:
        partitions = self._consumer.assignment()
        ends = await self._consumer.end_offsets(list(partitions))
        return bool(partitions) and all([await self._consumer.position(at) >= end for at, end in ends.items()])


async def read(options: argparse.Namespace) -> None:
    """Read until told to stop: aiokafka's clients are made where their loop runs. Raises: Gap."""
    await Reader(options).run()


def main() -> int:
    """Run it; 3 when events are missing, 1 when Kafka or a setting does not let it."""
    parser = argparse.ArgumentParser(description="Books what each Talent was paid.")
    parser.add_argument("--bootstrap", required=True, help="host:port[,host:port] of the brokers")
    parser.add_argument("--group", default="books", help="the consumer group: instances of one group share the work")
    parser.add_argument("--topic", default="jobs.transaction")
    parser.add_argument("--database", default="books.sqlite", help="shared by all instances of the group")
    parser.add_argument("--schemas", help="folder of the published JSON Schemas, to check every event with")
    parser.add_argument("--from-start", action="store_true", help="read the topic again from its beginning")
    parser.add_argument("--once", action="store_true", help="end when everything is read")
    parser.add_argument("--batch", type=int, default=100, help="records between two commits, at most")
    parser.add_argument(
        "--pause-seconds", type=float, default=0.0, help="after each event: to see a kill in the middle"
    )
    parser.add_argument("--session-seconds", type=float, default=10.0, help="until a killed instance is replaced")
    parser.add_argument("--replicas", type=int, default=1, help="of the dead-letter topic, if it is made")
    try:
        asyncio.run(read(parser.parse_args()))
    except Gap as gap:
        print(f"events are missing: {gap}", file=sys.stderr)
        return 3
    except (KafkaError, ValueError) as error:
        print(f"cannot go on: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
