"""The bus as an append-only log in PostgreSQL, in a database of its own.

Offsets are contiguous and become visible in order, because a partition's head row stays locked until the commit.
NOTIFY wakes readers once per batch; a poll is the safety net.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg

from chassis import bus_sql_schema as sql
from chassis.bus import (
    PARTITIONS,
    BusUnavailable,
    Delivery,
    Fenced,
    Positions,
    Record,
    StartPositions,
    TopicPartition,
    UnknownTopic,
    check_size,
    check_topic,
    partition_of,
)
from chassis.bus_group import LogMember, PartitionReader, rebalance
from chassis.db import plain_dsn
from chassis.headers import pack_headers, unpack_headers

FETCH_BYTES = 8 * 2**20
"""Values of one partition in one fetch: memory stays bounded when records are large."""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver raises when the server goes away in the middle of an exchange
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password is changed here before it is there
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
)


async def _keep(_connection: Any) -> None:
    """Connections go back to the pool as they are: nothing here leaves a state behind."""


class SqlBus(PartitionReader):
    """The log in the database that `dsn` names; its schema is made at first use."""

    def __init__(self, dsn: str, *, partitions: int = PARTITIONS, lease_seconds: float = 5.0) -> None:
        self.dsn = plain_dsn(dsn)
        self.partitions = partitions
        self.lease_seconds = lease_seconds
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._topics: dict[str, int] = {}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection outside any transaction. Raises: BusUnavailable for every sign that the database is away."""
        try:
            pool = self._pool or await self._open()
            async with pool.acquire(timeout=10) as connection:
                yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
            await self.close()  # somebody made the database anew: so do we
            raise BusUnavailable("the log's tables are gone") from error
        except _AWAY as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}"[:300]) from error

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                connection = await asyncpg.connect(self.dsn, timeout=5)
                try:
                    await _make_schema(connection)
                finally:
                    await connection.close()
                self._pool = await asyncpg.create_pool(
                    self.dsn, min_size=0, max_size=8, timeout=5, command_timeout=60, reset=_keep
                )
            return self._pool

    async def create_topics(self, topics: Iterable[str]) -> None:
        """See `Bus.create_topics`."""
        names = sorted({check_topic(topic) for topic in topics})
        async with self.connection() as connection:
            await connection.execute(sql.CREATE_TOPICS, names, self.partitions)

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`."""
        if not records:
            return
        for record in records:
            check_size(record)
        async with self.connection() as connection:
            if not self._topics.keys() >= {record.topic for record in records}:
                self._topics = {row["name"]: row["partitions"] for row in await connection.fetch(sql.TOPICS)}
            batch = self._batch(records)
            try:
                await connection.execute(sql.APPEND, *batch)
            except asyncpg.PostgresError as error:
                if error.sqlstate != "BT404":
                    raise
                self._topics = {}
                raise UnknownTopic(str(error)) from error

    def _batch(self, records: Sequence[Record]) -> tuple[list[Any], ...]:
        """The arguments of `log_append`: the partitions written to, in order, and each record's place there."""
        places: dict[TopicPartition, list[Record]] = defaultdict(list)
        for record in records:
            count = self._topics.get(record.topic)
            if count is None:
                raise UnknownTopic(f"no topic {record.topic}")
            partition = random.randrange(count) if record.key is None else partition_of(record.key, count)  # noqa: S311
            places[TopicPartition(record.topic, partition)].append(record)
        slots = sorted(places)
        rows = [
            (slot, place, record.key, record.value, pack_headers(record.headers))
            for slot, at in enumerate(slots, start=1)
            for place, record in enumerate(places[at])
        ]
        return (
            [at.topic for at in slots],
            [at.partition for at in slots],
            [len(places[at]) for at in slots],
            *map(list, zip(*rows, strict=True)),
        )

    async def consume(self, group: str, topics: Collection[str], start: StartPositions | None = None) -> "SqlMember":
        """See `Bus.consume`."""
        member = SqlMember(self, group, topics, start)
        try:
            await member.join()
        except BaseException:
            await member.close()
            raise
        return member

    async def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.end_offsets`."""
        async with self.connection() as connection:
            rows = await connection.fetch(sql.ENDS, list(topics))
        return {TopicPartition(name, partition): end for name, partition, end in rows}

    async def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """See `Bus.committed`."""
        async with self.connection() as connection:
            rows = await connection.fetch(sql.COMMITTED, group, list(topics))
        return {TopicPartition(name, partition): position for name, partition, position in rows}

    async def read_from(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        """Up to `limit` records from these positions on; no partition is always first."""
        wanted = random.sample(sorted(positions.items()), len(positions))
        async with self.connection() as connection:
            rows = await connection.fetch(
                sql.READ,
                [at.topic for at, _ in wanted],
                [at.partition for at, _ in wanted],
                [position for _, position in wanted],
                limit,
                FETCH_BYTES,
            )
        found = [
            Delivery(Record(name, key, value, unpack_headers(headers)), partition, offset)
            for name, partition, offset, key, value, headers in rows
        ]
        _check_order(found, positions)
        return found

    async def ping(self) -> None:
        """See `Bus.ping`."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), timeout=5)
            except TimeoutError:
                pool.terminate()


def _check_order(found: Sequence[Delivery], positions: Mapping[TopicPartition, int]) -> None:
    """Each partition must come from its position on, without a hole."""
    expected = dict(positions)
    for delivery in found:
        assert delivery.offset == expected[delivery.at], f"{delivery.at}: {delivery.offset} is out of order"
        expected[delivery.at] += 1


async def _make_schema(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", sql.SCHEMA_LOCK)
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(sql.SCHEMA)


def _columns(partitions: Iterable[TopicPartition]) -> tuple[list[str], list[int]]:
    listed = list(partitions)
    return [at.topic for at in listed], [at.partition for at in listed]


class SqlMember(LogMember):
    """A member of a group on the log in PostgreSQL. Its own connection listens, and shows that it is alive."""

    def __init__(self, bus: SqlBus, group: str, topics: Collection[str], start: StartPositions | None) -> None:
        super().__init__(group, topics, start, bus.lease_seconds)
        self._bus = bus
        self._id = f"{group}-{uuid4().hex}"
        self._listener: Any = None
        self._backend: Any = None

    async def _listen(self) -> None:
        if self._listener is not None and not self._listener.is_closed():
            return
        try:
            listener = await asyncpg.connect(
                self._bus.dsn, timeout=5, server_settings={"application_name": f"listen {self.group}"}
            )
            await listener.add_listener(sql.CHANNEL, self._on_bell)
            self._backend = await listener.fetchrow(sql.WHO_AM_I)
        except _AWAY as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}"[:300]) from error
        self._listener = listener
        listener.add_termination_listener(lambda _connection: self.claim_soon())

    def _on_bell(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        if payload == "":
            self.bell.set()
        elif payload == self.group:
            self.claim_soon()

    async def _claim(self) -> dict[TopicPartition, int]:
        async with self._bus.connection() as connection:
            await self._listen()
            async with connection.transaction():
                await connection.execute(sql.LOCK_GROUP, self.group)
                changed = await self._register(connection)
                changed |= await self._balance(connection)
                if changed:
                    await connection.execute(sql.RING_GROUP, self.group)
                held = await connection.fetch(sql.HELD, self.group, self._id)
        return {TopicPartition(name, partition): generation for name, partition, generation in held}

    async def _register(self, connection: Any) -> bool:
        await connection.execute(sql.BURY_MEMBERS, self.group, self._id)
        pid, since = self._backend
        return bool(
            await connection.fetchval(sql.JOIN, self._id, self.group, self.topics, pid, since, self.lease_seconds)
        )

    async def _balance(self, connection: Any) -> bool:
        rows = await connection.fetch(sql.HOLDERS, self.group, self.topics)
        members = [row["id"] for row in await connection.fetch(sql.MEMBERS, self.group)]
        holders = {TopicPartition(name, partition): holder for name, partition, holder in rows}
        give, take = rebalance(self._id, members, holders)
        if give:
            await connection.execute(sql.GIVE, self.group, self._id, *_columns(give))
        if take:
            await connection.execute(sql.TAKE, self.group, self._id, *_columns(take))
        return bool(give or take)

    async def _renew(self) -> None:
        async with self._bus.connection() as connection:
            await connection.execute(sql.RENEW, self._id, self.lease_seconds)

    async def _read(self, positions: Mapping[TopicPartition, int], limit: int) -> list[Delivery]:
        return await self._bus.read_from(positions, limit)

    async def _ends(self) -> dict[TopicPartition, int]:
        return await self._bus.end_offsets(self.topics)

    async def _committed(self, partitions: Collection[TopicPartition]) -> Positions:
        known = await self._bus.committed(self.group, self.topics)
        return {at: known.get(at, 0) for at in partitions}

    async def commit(self, positions: Positions) -> None:
        """See `Member.commit`."""
        if not positions:
            return
        generations = [self.generations.get(at, 0) for at in positions]
        async with self._bus.connection() as connection:
            status = await connection.execute(
                sql.COMMIT, self.group, self._id, *_columns(positions), list(positions.values()), generations
            )
        if int(status.rpartition(" ")[2]) < len(positions):
            self.claim_soon()
            raise Fenced(f"{self.group} lost some of {sorted(positions)}")

    async def _leave(self) -> None:
        try:
            async with self._bus.connection() as connection:
                await connection.execute(sql.LEAVE, self._id)
                await connection.execute(sql.RING_GROUP, self.group)
        finally:
            await self._hang_up()

    async def _hang_up(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(*_AWAY):
                await listener.close(timeout=2)

    async def abandon(self) -> None:
        """Stop like a machine that vanished: the lease is all that is left, and nobody prolongs it."""
        await self.stop_heart()
