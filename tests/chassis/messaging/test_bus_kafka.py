"""What only Kafka has: producers and consumers that break and are replaced, hand-overs, topics by configuration."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition as KafkaPartition

from chassis.bus import BusUnavailable, Fenced, Record, TopicPartition, partition_of
from chassis.bus_kafka import KafkaBus
from chassis.db import Database
from chassis.localkafka import LocalKafka
from chassis.settings import KafkaSettings
from chassis.testing import eventually
from tests.chassis.messaging.consuming import consuming, handled, held_by, publish_until_taken
from tests.chassis.messaging.kafka import FAST, PrivateKafka, PrivateMember, private_kafka
from tests.chassis.messaging.samples import TOPIC, Recorder, drain, placed, positions_after, read_all, values_by_key

pytestmark = pytest.mark.kafka


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


def numbered(key: str, count: int, size: int = 1) -> list[Record]:
    return [Record(TOPIC, key.encode(), str(n).encode().ljust(size)) for n in range(count)]


async def publish_until_refused(bus: PrivateKafka) -> None:
    """A broker takes records for a moment after the controller deleted their topic; this gives up after 30 s."""
    for _ in range(300):
        await bus.publish(numbered("a", 1))
        await asyncio.sleep(0.1)


class TestPublisher:
    @pytest.mark.parametrize(
        "fault", [errors.OutOfOrderSequenceNumber, errors.UnknownProducerId, errors.InvalidProducerIdMapping]
    )
    async def test_a_producer_that_lost_its_place_is_replaced(
        self, kafka_bus: PrivateKafka, fault: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The broker's own refusal: the producer's next sequence number is set wrong."""
        publisher = kafka_bus.inner._publisher
        await kafka_bus.publish(numbered("a", 3))
        first = publisher._producer
        if fault is errors.OutOfOrderSequenceNumber:
            at = KafkaPartition(kafka_bus.prefix + TOPIC, partition_of(b"a", 6))
            first._txn_manager.increment_sequence_number(at, 1000)
        else:
            sending = first.send_batch

            async def refuse(*arguments: Any, **options: Any) -> Any:
                monkeypatch.setattr(first, "send_batch", sending)
                raise fault

            monkeypatch.setattr(first, "send_batch", refuse)
        await kafka_bus.publish([Record(TOPIC, b"a", b"3"), Record(TOPIC, b"b", b"0")])
        assert publisher._producer is not first
        found = values_by_key(await read_all(kafka_bus, TOPIC))
        assert found == {b"a": [b"0", b"1", b"2", b"3"], b"b": [b"0"]}

    async def test_a_producer_that_was_closed_is_replaced(self, kafka_bus: PrivateKafka) -> None:
        await kafka_bus.publish(numbered("a", 1))
        await kafka_bus.inner._publisher._producer.stop()
        await kafka_bus.publish([Record(TOPIC, b"a", b"1")])
        assert values_by_key(await read_all(kafka_bus, TOPIC)) == {b"a": [b"0", b"1"]}

    async def test_no_batch_overtakes_one_that_failed(self, kafka_bus: PrivateKafka) -> None:
        """Three batches of one partition; the second is refused. The third must not be there without it."""
        publisher = kafka_bus.inner._publisher
        records = numbered("a", 5, size=600_000)
        await kafka_bus.publish(records[:1])
        first, sent = publisher._producer, 0
        sending = first.send_batch

        async def send(batch: Any, topic: str, *, partition: int) -> Any:
            nonlocal sent
            sent += 1
            if sent == 2:
                first._txn_manager.increment_sequence_number(KafkaPartition(topic, partition), 1000)
            return await sending(batch, topic, partition=partition)

        first.send_batch = send
        await kafka_bus.publish(records[1:])
        assert sent == 2, "it went on with the next batch"
        found = [delivery.record.value for delivery in await read_all(kafka_bus, TOPIC)]
        assert found == [record.value for record in records]

    async def test_many_writers_to_one_partition_wait_for_each_other(self, kafka_bootstrap: str) -> None:
        """aiokafka alone gives up here: a second of patience is used up by 200 waits that overlap."""
        hasty = dataclasses.replace(FAST, request_seconds=1.0, publish_seconds=60.0)
        async with private_kafka(kafka_bootstrap, timing=hasty) as bus:
            await bus.create_topics([TOPIC])
            await asyncio.gather(*(bus.publish([record]) for record in numbered("a", 200)))
            assert len(await read_all(bus, TOPIC)) == 200

    async def test_many_large_records_go_in_waves(self, kafka_bus: PrivateKafka) -> None:
        value = bytes(4 * 2**20 - 10)
        records = [Record(TOPIC, f"{n}".encode(), value, (("n", str(n).encode()),)) for n in range(8)]
        await kafka_bus.publish(records)
        found = await read_all(kafka_bus, TOPIC)
        assert sorted(dict(delivery.record.headers)["n"] for delivery in found) == [str(n).encode() for n in range(8)]
        assert all(delivery.record.value == value for delivery in found)

    async def test_a_topic_that_was_deleted_is_made_again(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient, database: Database
    ) -> None:
        await kafka_bus.publish(numbered("a", 1))
        await admin.delete_topics([kafka_bus.prefix + TOPIC])
        with pytest.raises(BusUnavailable):
            await publish_until_refused(kafka_bus)
        async with consuming(database, kafka_bus, Recorder()) as consumer:

            async def joined() -> bool:
                return len(held_by(consumer)) == 6

            await eventually(joined, seconds=15)
            await kafka_bus.publish([placed("a", 0)])
            await handled(database, {"a": [0]})


class TestTopics:
    async def test_are_made_with_their_limits(self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient) -> None:
        await kafka_bus.create_topics([f"{TOPIC}.shop.dlq"])
        names = [kafka_bus.prefix + TOPIC, kafka_bus.prefix + f"{TOPIC}.shop.dlq"]
        told = (await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]))[0]
        limits = {one[3]: {entry[0]: entry[1] for entry in one[4]} for one in told.resources}
        for name, largest in zip(names, (5 * 2**20, 9 * 2**20), strict=True):
            assert (
                limits[name]
                | {
                    "cleanup.policy": "delete",
                    "compression.type": "uncompressed",
                    "max.message.bytes": str(largest),
                    "message.timestamp.type": "LogAppendTime",
                    "min.insync.replicas": "1",
                    "retention.bytes": "-1",
                    "retention.ms": "-1",
                    "unclean.leader.election.enable": "false",
                }
                == limits[name]
            )
        topics = {one["topic"]: len(one["partitions"]) for one in await admin.describe_topics(names)}
        assert topics == dict.fromkeys(names, 6)

    async def test_must_exist_where_none_are_made(self, kafka_bus: PrivateKafka, kafka_bootstrap: str) -> None:
        settings = KafkaSettings(kafka_create_topics=False)
        strict = KafkaBus(f"kafka://{kafka_bootstrap}", settings, timing=FAST)
        await strict.create_topics([kafka_bus.prefix + TOPIC])
        missing = kafka_bus.prefix + "orders.missing"
        with pytest.raises(BusUnavailable, match=rf"no topic {missing}, and KAFKA_CREATE_TOPICS is false") as told:
            await strict.create_topics([kafka_bus.prefix + TOPIC, missing])
        assert "\n" not in str(told.value)
        assert await strict.end_offsets([missing]) == {}
        await strict.close()

    async def test_more_copies_than_brokers_are_refused_in_one_line(self, kafka_bootstrap: str) -> None:
        bus = KafkaBus(f"kafka://{kafka_bootstrap}", KafkaSettings(kafka_replication_factor=3), timing=FAST)
        with pytest.raises(BusUnavailable, match=r"does not create the topic orders\.copied: .*replication") as told:
            await bus.create_topics(["orders.copied"])
        assert "\n" not in str(told.value)
        await bus.close()


class TestMember:
    async def test_a_hand_over_waits_for_the_batch_in_flight(self, kafka_bus: PrivateKafka) -> None:
        await kafka_bus.publish([Record(TOPIC, str(n).encode(), b"x") for n in range(60)])
        first = await kafka_bus.consume("g", [TOPIC])
        batch = await drain(first, count=1)
        joining = asyncio.create_task(kafka_bus.consume("g", [TOPIC]))
        done, _ = await asyncio.wait({joining}, timeout=1.5)
        assert not done, "the second got partitions in the middle of the first one's batch"
        await first.commit(positions_after(batch))
        await first.fetch(max_records=10, timeout_seconds=0.1)
        second = await asyncio.wait_for(joining, 10)

        async def shared() -> bool:
            await first.fetch(max_records=1, timeout_seconds=0.1)
            await second.fetch(max_records=1, timeout_seconds=0.1)
            return len(first.assignment()) == len(second.assignment()) == 3

        await eventually(shared)
        await first.close()
        await second.close()

    async def test_a_batch_that_takes_too_long_does_not_hold_up_the_group(self, kafka_bus: PrivateKafka) -> None:
        await kafka_bus.publish([Record(TOPIC, str(n).encode(), b"x") for n in range(60)])
        first = await kafka_bus.consume("g", [TOPIC])
        batch = await drain(first, count=1)
        second = await kafka_bus.consume("g", [TOPIC])

        async def moved() -> bool:
            await second.fetch(max_records=100, timeout_seconds=0.2)
            return len(second.assignment()) == 3

        await eventually(moved, seconds=FAST.drain_seconds + 10)
        with pytest.raises(Fenced):
            await first.commit(positions_after(batch))
        await first.close()
        await second.close()

    async def test_what_the_group_refuses_is_said(self, kafka_bus: PrivateKafka) -> None:
        """A session shorter than the broker allows: no join will ever succeed."""
        async with private_kafka(kafka_bus.bootstrap, timing=replace(FAST, session_seconds=0.2)) as bus:
            await bus.create_topics([TOPIC])
            with pytest.raises(BusUnavailable, match="InvalidSessionTimeoutError"):
                await bus.consume("g", [TOPIC])

    @pytest.mark.parametrize("part", ["fetcher", "coordinator"])
    async def test_a_consumer_that_stalls_is_replaced(self, kafka_bus: PrivateKafka, part: str) -> None:
        """aiokafka's own tasks end without a word, as in its known stalls."""
        asked: list[int] = []

        async def start(partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
            asked.append(len(partitions))
            return dict.fromkeys(partitions, 0)

        member: PrivateMember = await kafka_bus.consume("g", [TOPIC], start)
        await kafka_bus.publish(numbered("a", 3))
        assert len(await drain(member, count=3)) == 3
        consumer = member.inner._consumer
        if part == "fetcher":
            consumer._fetcher._fetch_task.cancel()
        else:
            consumer._coordinator._pending_exception = errors.KafkaError("broken")
        found: set[bytes | None] = set()

        async def saw(key: bytes) -> bool:
            try:
                batch = await member.fetch(max_records=100, timeout_seconds=0.2)
            except BusUnavailable:
                assert part == "coordinator"
                return False
            found.update(delivery.record.key for delivery in batch)
            return key in found

        await kafka_bus.publish(numbered("b", 1))  # the fetch in flight may bring this one yet
        await eventually(lambda: saw(b"b"), seconds=30)
        await kafka_bus.publish(numbered("c", 1))
        await eventually(lambda: saw(b"c"), seconds=30)
        assert member.inner._consumer is not consumer
        assert asked == [6, 6], "the positions were not read again"
        await member.close()


class TestAway:
    async def test_a_broker_that_is_not_there_is_said_so_in_one_line(self) -> None:
        bus = KafkaBus("kafka://127.0.0.1:1", KafkaSettings(), timing=FAST)
        for call in (bus.ping(), bus.create_topics([TOPIC]), bus.publish(numbered("a", 1)), bus.consume("g", [TOPIC])):
            with pytest.raises(BusUnavailable, match=r"Kafka at 127\.0\.0\.1:1 cannot be reached") as told:
                await call
            assert "\n" not in str(told.value)
        await bus.close()

    async def test_a_frozen_and_a_killed_broker_delay_and_lose_nothing(
        self, local_kafka: LocalKafka, database: Database
    ) -> None:
        """And the watchdog sees the consumer well again once events flow."""
        async with private_kafka(local_kafka.bootstrap) as bus:
            await bus.create_topics([TOPIC])
            recorder = Recorder()
            async with consuming(database, bus, recorder) as consumer:
                await bus.publish([placed("a", n) for n in range(10)])
                await handled(database, {"a": list(range(10))})
                local_kafka.brokers[0].freeze()
                frozen = asyncio.create_task(publish_until_taken(bus, [placed("a", n) for n in range(10, 20)]))
                try:
                    with pytest.raises(BusUnavailable):
                        await bus.ping()
                finally:
                    local_kafka.brokers[0].thaw()
                await frozen
                await handled(database, {"a": list(range(20))}, seconds=60)
                local_kafka.brokers[0].kill()
                killed = asyncio.create_task(publish_until_taken(bus, [placed("a", n) for n in range(20, 30)]))
                with pytest.raises(BusUnavailable):
                    await bus.ping()
                local_kafka.revive()
                await killed
                await handled(database, {"a": list(range(30))}, seconds=60)
                assert consumer.healthy()


async def test_the_watchdog_notices_a_consumer_that_stands_still_on_kafka(
    kafka_bus: PrivateKafka, database: Database
) -> None:
    recorder = Recorder()
    recorder.pause_seconds = 3.0
    async with consuming(database, kafka_bus, recorder, stall_seconds=1.0) as consumer:

        async def joined() -> bool:
            return len(held_by(consumer)) == 6

        await eventually(joined)
        assert consumer.healthy()
        await kafka_bus.publish([placed("a", 1)])

        async def sick() -> bool:
            return not consumer.healthy()

        await eventually(sick, seconds=10)
        await handled(database, {"a": [1]})

        async def well() -> bool:
            return consumer.healthy()

        await eventually(well, seconds=10)


async def test_a_zombie_is_fenced_and_reads_its_positions_again(kafka_bus: PrivateKafka) -> None:
    """A member that was stopped longer than its session, while another went on, and then continues."""
    await kafka_bus.publish(numbered("a", 4))
    stored: dict[TopicPartition, int] = {}

    async def start(partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {at: stored.get(at, 0) for at in partitions}

    zombie = await kafka_bus.consume("g", [TOPIC], start)
    seen = await drain(zombie, count=4)
    consumer = zombie.inner._consumer
    await zombie.abandon()
    heir = await kafka_bus.consume("g", [TOPIC], start)
    again = await drain(heir, count=4, seconds=20)
    stored.update(positions_after(again))
    await heir.commit(positions_after(again))
    with pytest.raises(Fenced):
        await zombie.commit(positions_after(seen))
    # It wakes up: its heartbeat is refused, it joins anew, and begins where the heir has come to.
    consumer._coordinator._coordination_task = asyncio.create_task(consumer._coordinator._coordination_routine())
    consumer._coordinator.request_rejoin()
    await heir.close()
    await kafka_bus.publish([Record(TOPIC, b"a", b"4")])
    started = time.monotonic()
    assert [delivery.record.value for delivery in await drain(zombie, count=1, seconds=30)] == [b"4"]
    assert time.monotonic() - started < 30
    await zombie.close()
