"""One reader of a consumer group on Kafka.

Positions come from whoever asks (the service's database), never from the broker, and are asked for anew at each
assignment. Kafka hands partitions over in the background; here it waits until the batch in flight is finished.
"""

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, errors
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.structs import TopicPartition as KafkaPartition

from chassis.bus import (
    MAX_RECORD_BYTES,
    BusUnavailable,
    Delivery,
    Fenced,
    Headers,
    Positions,
    Record,
    StartPositions,
    TopicPartition,
)
from chassis.bus_kafka.cluster import BEGINNING, END, ROOM_BYTES, Cluster
from chassis.bus_kafka.connection import Connection, translated, unavailable
from chassis.bus_kafka.positions import Logs, starts_of, tell
from chassis.telemetry import log

FETCH_BYTES = 16 * 2**20
"""Of all partitions in one answer of a broker: memory stays bounded when records are large."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the member what Kafka does with its partitions."""

    def __init__(self, member: "KafkaMember", consumer: Any) -> None:
        self._member = member
        self._consumer = consumer

    async def on_partitions_revoked(self, _revoked: Collection[Any]) -> None:
        """Kafka waits for this before it hands the partitions on."""
        await self._member.give_up(self._consumer)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Nothing may be fetched before the positions are set."""
        self._consumer.pause(*assigned)
        self._member.gain(self._consumer, assigned)


class KafkaMember:
    """A member of `group`. It makes itself a new connection to the group whenever the old one is beyond repair."""

    def __init__(
        self,
        cluster: Cluster,
        connection: Connection,
        group: str,
        topics: Collection[str],
        start: StartPositions | None,
    ) -> None:
        self.group = group
        self.topics = frozenset(topics)
        self._cluster = cluster
        self._connection = connection
        self._timing = connection.timing
        self._start = start or self._committed
        self._consumer: Any = None
        self._poll: asyncio.Task[Any] | None = None
        self._held: frozenset[TopicPartition] | None = None
        """What Kafka has assigned; None while it is about to."""
        self._next: dict[TopicPartition, int] = {}
        self._epoch = 0
        """Goes up whenever partitions come or go: what belongs to an older one is void."""
        self._placed = -1
        """The epoch whose positions are set."""
        self._batch = -1
        """The epoch of the last batch handed out."""
        self._generation = -1
        self._assigned = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._moved_at = time.monotonic()
        self._looked_at = self._moved_at

    async def join(self) -> None:
        """Become a member, and wait a while for the first partitions. Raises: BusUnavailable; what `start` raises."""
        try:
            await self._settle(time.monotonic() + self._timing.join_seconds)
        except (errors.KafkaError, errors.ConsumerStoppedError) as error:
            raise unavailable(error) from error

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this member reads now."""
        return frozenset(self._next)

    async def fetch(self, *, max_records: int, timeout_seconds: float) -> list[Delivery]:
        """Records from the partitions held; see `Member.fetch`."""
        self._idle.set()
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                found: list[Delivery] = []
                if await self._settle(deadline):
                    found = await self._take(max_records, deadline)
                if found or time.monotonic() >= deadline:
                    return found
                await self._look_for_stall()
        except (errors.KafkaError, errors.ConsumerStoppedError) as error:
            self._give_up_consumer()
            raise unavailable(error) from error

    async def _settle(self, deadline: float) -> bool:
        """Have partitions with their positions set; False if that was not so by the deadline."""
        if self._consumer is None:
            await self._open()
        while self._placed != self._epoch or self._held is None:
            left = deadline - time.monotonic()
            if self._held is None:
                try:
                    await asyncio.wait_for(self._assigned.wait(), max(0.0, left))
                except TimeoutError:
                    self._consumer._coordinator.check_errors()
                    self._check_rebalance()
                    return False
            await self._place()
            if self._placed != self._epoch and time.monotonic() >= deadline:
                return False
        return True

    async def _open(self) -> None:
        timing, milliseconds = self._timing, 1000
        consumer = AIOKafkaConsumer(
            client_id="btrst-consumer",
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=int(timing.session_seconds * milliseconds),
            heartbeat_interval_ms=int(timing.heartbeat_seconds * milliseconds),
            rebalance_timeout_ms=int(timing.rebalance_seconds * milliseconds),
            # The answer to a join comes when the last member has finished its batch.
            request_timeout_ms=int((timing.rebalance_seconds + timing.request_seconds) * milliseconds),
            metadata_max_age_ms=int(timing.metadata_seconds * milliseconds),
            max_partition_fetch_bytes=MAX_RECORD_BYTES + ROOM_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            **self._connection.options,
        )
        await self._connection.begin(consumer.start(), consumer.stop)
        self._consumer = consumer
        self._moved_at = time.monotonic()
        # By pattern, because asking for a topic by name would create it on a broker that does so by itself, and
        # because topics that come later are found.
        names = "|".join(re.escape(topic) for topic in sorted(self.topics))
        consumer.subscribe(pattern=f"^(?:{names})$", listener=_Listener(self, consumer))

    async def _place(self) -> None:
        """Set the positions of what is held. Raises: BusUnavailable; what `start` raises."""
        epoch, held = self._epoch, self._held
        if held is None:
            return
        starts, unmarked = await self._starts(held) if held else ({}, {})
        if epoch != self._epoch or not await self._mark(unmarked):
            return
        partitions = [KafkaPartition(*at) for at in held]
        try:
            for at, position in starts.items():
                self._consumer.seek(KafkaPartition(*at), position)
            self._consumer.resume(*partitions)
        except errors.IllegalStateError:  # Kafka takes them away at this moment; we shall be told
            await asyncio.sleep(0.05)
            return
        self._next = dict(starts)
        self._placed = epoch
        self._generation = self._consumer._coordinator.generation
        self._moved_at = time.monotonic()

    async def _mark(self, positions: Positions) -> bool:
        """Commit where the group begins in partitions whose commit says otherwise; False when they are being moved.

        That the group has no commit then says that the topic was made anew, and never that commits of what was handled
        have failed so far: those may fail, these must not. And a commit that a member owed when it ended is made good,
        even if nothing comes after. Raises: BusUnavailable.
        """
        if not positions:
            return True
        try:
            async with translated(self._timing.request_seconds / 2):
                await self._consumer.commit({KafkaPartition(*at): position for at, position in positions.items()})
        except BusUnavailable as error:
            if not isinstance(error.__cause__, (errors.CommitFailedError, errors.IllegalStateError)):
                raise
            await asyncio.sleep(0.05)
            return False
        return True

    async def _starts(self, held: Collection[TopicPartition]) -> tuple[Positions, Positions]:
        """Where to begin in each partition, and those of them whose commit says otherwise, or that have none."""
        topics = {at.topic for at in held}
        wanted = await self._start(held)
        logs = Logs(
            first=await self._cluster.offsets(topics, BEGINNING),
            end=await self._cluster.offsets(topics, END),
            committed=await self._cluster.committed(self.group, topics),
        )
        starts = starts_of(self.group, held, wanted, logs)
        return starts, {at: position for at, position in starts.items() if logs.committed.get(at) != position}

    async def _committed(self, _partitions: Collection[TopicPartition]) -> Positions:
        return await self._cluster.committed(self.group, self.topics)

    async def _take(self, max_records: int, deadline: float) -> list[Delivery]:
        """What comes until the deadline. A poll that is not over by then goes on; the next fetch takes it up, unless
        partitions moved in between."""
        epoch = self._epoch
        if self._poll is None:
            patience = max(0, int((deadline - time.monotonic()) * 1000))
            self._poll = asyncio.create_task(self._consumer.getmany(timeout_ms=patience, max_records=max_records))
        await asyncio.wait({self._poll}, timeout=max(0.0, deadline - time.monotonic()) + 0.01)
        if not self._poll.done():
            return []
        poll, self._poll = self._poll, None
        records = poll.result()
        if epoch != self._epoch or not records:
            return []
        found: list[Delivery] = []
        for partition, listed in records.items():
            at = TopicPartition(partition.topic, partition.partition)
            if listed[0].offset != self._next[at]:  # aiokafka goes to the beginning by itself, without a word
                tell(self.group, at, self._next[at], listed[0].offset)
            self._next[at] = listed[-1].offset + 1
            found.extend(
                Delivery(Record(at.topic, record.key, record.value, headers_of(record)), at.partition, record.offset)
                for record in listed
            )
        self._moved_at = time.monotonic()
        self._batch = epoch
        self._idle.clear()
        return found

    async def _look_for_stall(self) -> None:
        """aiokafka is known to stop fetching now and then without a word. Raises: BusUnavailable."""
        now = time.monotonic()
        if now - self._moved_at < self._timing.stall_seconds or now - self._looked_at < self._timing.stall_seconds / 4:
            return
        self._looked_at = now
        ends = await self._cluster.offsets(self.topics, END)
        if any(ends.get(at, 0) > position for at, position in self._next.items()):
            log.warning("kafka_consumer_replaced", group=self.group, reason="nothing came although there is something")
            self._give_up_consumer()
        else:
            self._moved_at = now

    def _check_rebalance(self) -> None:
        """Make a new consumer when the group does not come to rest for much longer than it may take."""
        patience = 2 * (self._timing.rebalance_seconds + self._timing.session_seconds + self._timing.request_seconds)
        if time.monotonic() - self._moved_at > patience:
            log.warning("kafka_consumer_replaced", group=self.group, reason="no partitions were assigned")
            self._give_up_consumer()

    async def give_up(self, consumer: Any) -> None:
        """Kafka takes the partitions: wait for the batch in flight, but not so long that the group loses patience."""
        if consumer is not self._consumer:
            return
        try:
            await asyncio.wait_for(self._idle.wait(), self._timing.drain_seconds)
        except TimeoutError:
            log.warning("batch_not_drained", group=self.group, seconds=self._timing.drain_seconds)
        if consumer is self._consumer:
            self._lose()

    def _lose(self) -> None:
        self._epoch += 1
        self._held = None
        self._next = {}
        self._assigned.clear()
        self._moved_at = time.monotonic()

    def gain(self, consumer: Any, assigned: Collection[Any]) -> None:
        """Kafka has given these partitions."""
        if consumer is self._consumer:
            self._epoch += 1
            self._held = frozenset(TopicPartition(at.topic, at.partition) for at in assigned)
            self._assigned.set()

    async def commit(self, positions: Positions) -> None:
        """See `Member.commit`."""
        if not positions:
            return
        consumer = self._consumer
        if consumer is None or self._batch != self._epoch or not positions.keys() <= self._next.keys():
            raise Fenced(f"{self.group} lost some of {sorted(positions)}")
        if consumer._coordinator.generation != self._generation:
            raise Fenced(f"{self.group} was rebalanced without this member")
        offsets = {KafkaPartition(*at): position for at, position in positions.items()}
        try:
            async with translated(self._timing.request_seconds / 2):
                await consumer.commit(offsets)
        except BusUnavailable as error:
            if isinstance(error.__cause__, (errors.CommitFailedError, errors.IllegalStateError)):
                raise Fenced(f"{self.group} lost some of {sorted(positions)}") from error
            raise

    def _give_up_consumer(self) -> None:
        """The next fetch makes a new one."""
        consumer, self._consumer = self._consumer, None
        poll, self._poll = self._poll, None
        self._lose()
        if consumer is not None:
            self._connection.background.spawn(_end(consumer, poll))

    async def close(self) -> None:
        """Leave the group; its partitions are free at once."""
        self._idle.set()
        consumer, self._consumer = self._consumer, None
        poll, self._poll = self._poll, None
        self._lose()
        if consumer is not None:
            await _end(consumer, poll)

    async def abandon(self) -> None:
        """Stop like a process that is stopped: no heartbeat, no word, but it may come back and speak."""
        coordinator = self._consumer._coordinator
        for task in (coordinator._coordination_task, coordinator._heartbeat_task):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def headers_of(record: Any) -> Headers:
    """A record's headers; one without a value has an empty one."""
    return tuple((name, value or b"") for name, value in record.headers)


async def _end(consumer: Any, poll: asyncio.Task[Any] | None) -> None:
    """Stop a consumer, by force if it does not come to an end."""
    try:
        await asyncio.wait_for(consumer.stop(), 5)
    except (TimeoutError, errors.KafkaError, asyncio.CancelledError) as error:
        await _end_by_force(consumer)
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
    finally:
        if poll is not None:
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)


async def _end_by_force(consumer: Any) -> None:
    """Whatever it waits for, it is over; the group hears of it on a new connection, the old one is blocked."""
    coordinator, fetcher, client = consumer._coordinator, consumer._fetcher, consumer._client
    endings = [client.close]
    if coordinator is not None:
        endings = [coordinator._stop_heartbeat_task, coordinator._stop_commit_offsets_refresh_task, *endings]
        endings += [coordinator._maybe_leave_group, client.close]
    if fetcher is not None:
        endings.insert(0, fetcher.close)
    for ending in endings:
        await asyncio.gather(asyncio.wait_for(ending(), 2), return_exceptions=True)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
