"""Writing to Kafka: idempotent, acknowledged by all replicas in sync, in order for each partition whatever fails.

A partition gets the next batch only when the one before it is acknowledged, so no failure can reorder a key.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer, errors

from chassis.bus import BusUnavailable, Record, RecordTooLarge, TopicPartition, partition_of
from chassis.bus_kafka.connection import Connection, translated
from chassis.telemetry import log

BATCH_BYTES = 2**20
"""Of one partition at once; a single record may be larger."""

WAVE_BYTES = 16 * 2**20
"""Of all partitions at once: far below what a broker takes in one request."""

ATTEMPTS = 4
"""A broken producer is replaced so many times in one `publish`."""

_BROKEN = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerIdMapping,
    errors.InvalidProducerEpoch,
    errors.ProducerFenced,
    errors.ProducerClosed,
)
"""What says that this producer will never write again, and that the records were not written."""

Lanes = dict[TopicPartition, deque[Record]]


class Publisher:
    """One producer for all that this process publishes, made at the first record, and anew when it is broken."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._producer: Any = None
        self._opening = asyncio.Lock()

    async def publish(self, records: Sequence[Record], partitions: int) -> None:
        """Append the records to the first `partitions` partitions of their topics.

        Raises: BusUnavailable; RecordTooLarge when a broker's limit is below ours.
        """
        lanes = lanes_of(records, partitions)
        used: list[Any] = []
        try:
            async with translated(self._connection.timing.publish_seconds):
                while lanes:
                    producer = await self._current()
                    used.append(producer)
                    if broken := await self._wave(producer, lanes):
                        self._give_up(producer)
                        log.warning("kafka_producer_replaced", error=type(broken).__name__)
                        if len({id(one) for one in used}) >= ATTEMPTS:
                            raise broken
        except BusUnavailable:
            if used:
                self._give_up(used[-1])
            raise

    async def _wave(self, producer: Any, lanes: Lanes) -> Exception | None:
        """Send one batch of each partition and take what was acknowledged out of `lanes`; what broke the producer.

        Raises: every other failure, once all batches have ended.
        """
        batches = _batches(producer, lanes)
        ended = await asyncio.gather(
            *(_send(producer, at, batch) for at, batch in batches.items()), return_exceptions=True
        )
        failures: list[BaseException] = []
        for (at, batch), failure in zip(batches.items(), ended, strict=True):
            if failure is not None:
                failures.append(failure)
                continue
            for _ in range(batch.record_count()):
                lanes[at].popleft()
            if not lanes[at]:
                del lanes[at]
        broken = None
        for failure in failures:
            if isinstance(failure, (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)):
                self._give_up(producer)
                raise RecordTooLarge(f"a broker's limit is below ours: {failure}")
            if not isinstance(failure, _BROKEN):
                raise failure
            broken = failure
        return broken

    async def _current(self) -> Any:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    client_id="btrst-producer",
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_batch_size=BATCH_BYTES,
                    request_timeout_ms=int(self._connection.timing.request_seconds * 1000),
                    metadata_max_age_ms=int(self._connection.timing.metadata_seconds * 1000),
                    **self._connection.options,
                )
                await self._connection.begin(producer.start(), producer.stop)
                self._producer = producer
            return self._producer

    def _give_up(self, producer: Any) -> None:
        """The next batch gets a new producer; this one ends in the background."""
        if self._producer is producer:
            self._producer = None
            self._connection.background.spawn(_end(producer))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._producer is not None:
            self._give_up(self._producer)


def lanes_of(records: Sequence[Record], partitions: int) -> Lanes:
    """The records of each partition, in order. Those without a key go to one partition, a different one each time."""
    lanes: Lanes = {}
    chosen: dict[str, int] = {}
    for record in records:
        if record.key is None:
            partition = chosen.setdefault(record.topic, random.randrange(partitions))  # noqa: S311
        else:
            partition = partition_of(record.key, partitions)
        lanes.setdefault(TopicPartition(record.topic, partition), deque()).append(record)
    return lanes


def _batches(producer: Any, lanes: Lanes) -> dict[TopicPartition, Any]:
    """The next batch of each partition, until they are enough for one wave."""
    batches: dict[TopicPartition, Any] = {}
    room = WAVE_BYTES
    for at, lane in lanes.items():
        if room <= 0:
            break
        batch = producer.create_batch()
        for record in lane:
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers)) is None:
                break
        batch.close()
        batches[at] = batch
        room -= batch.size()
    return batches


async def _send(producer: Any, at: TopicPartition, batch: Any) -> None:
    """Raises: whatever Kafka says of this batch."""
    while True:
        try:
            acknowledged = await producer.send_batch(batch, at.topic, partition=at.partition)
            break
        except errors.KafkaTimeoutError:
            # It was not queued. While others write to the partition, aiokafka takes the whole wait so far off its
            # patience at each of their batches; how long we go on trying is up to whoever calls.
            log.debug("kafka_partition_busy", topic=at.topic, partition=at.partition)
    await acknowledged


async def _end(producer: Any) -> None:
    """Stop a producer that may be beyond a regular end: it would go on trying for ever."""
    try:
        await asyncio.wait_for(producer.stop(), 5)
        return
    except TimeoutError:
        pass
    client = producer.client
    await client.close()
    if (waiting := client._md_update_fut) is not None and not waiting.done():  # its own tasks wait for it
        waiting.set_result(False)
    with suppress(TimeoutError):
        await asyncio.wait_for(producer._sender.close(), 5)
    await client.close()
