"""A log that is not what the group has left: expired, truncated, deleted and made anew, with more partitions."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition
from prometheus_client import REGISTRY as METRICS

from chassis.bus import BusUnavailable, Positions, Record, RecordTooLarge, TopicPartition, partition_of
from chassis.bus_kafka.member import KafkaMember
from chassis.db import Database
from chassis.testing import eventually
from tests.chassis.messaging.consuming import consuming, handled, held_by, publish_until_taken
from tests.chassis.messaging.kafka import PrivateKafka, private_kafka
from tests.chassis.messaging.samples import TOPIC, Recorder, drain, placed, read_all, values_by_key

pytestmark = pytest.mark.kafka

OF_A = TopicPartition(TOPIC, partition_of(b"a", 6))


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


async def start_at_zero(partitions: Collection[TopicPartition]) -> Positions:
    return dict.fromkeys(partitions, 0)


def on_broker(bus: PrivateKafka) -> KafkaPartition:
    """The partition of key "a"."""
    return KafkaPartition(bus.prefix + TOPIC, OF_A.partition)


def told(bus: PrivateKafka, why: str, group: str = "g") -> float:
    """How often it was counted that a partition was not what the group has left."""
    labels = {"group": bus.prefix + group, "topic": bus.prefix + TOPIC, "why": why}
    return METRICS.get_sample_value("btrst_kafka_positions_moved_total", labels) or 0.0


async def publish_a(bus: PrivateKafka, first: int, last: int) -> None:
    await bus.publish([Record(TOPIC, b"a", str(n).encode()) for n in range(first, last + 1)])


async def delete_topic(bus: PrivateKafka, admin: AIOKafkaAdminClient) -> None:
    await admin.delete_topics([bus.prefix + TOPIC])

    async def gone() -> bool:
        return await bus.end_offsets([TOPIC]) == {}

    await eventually(gone)


class TestExpired:
    async def test_while_the_group_was_away_is_told_and_passed_over(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient
    ) -> None:
        await publish_a(kafka_bus, 0, 9)
        await admin.delete_records({on_broker(kafka_bus): RecordsToDelete(before_offset=7)})
        member = await kafka_bus.consume("g", [TOPIC], start_at_zero)
        assert [delivery.offset for delivery in await drain(member, count=3)] == [7, 8, 9]
        assert [delivery.offset for delivery in await read_all(kafka_bus, TOPIC)] == [7, 8, 9]
        assert told(kafka_bus, "expired") == 1
        await member.close()

    async def test_under_a_running_member_is_told_too(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient
    ) -> None:
        """aiokafka moves on to what is left by itself, without a word."""
        member = await kafka_bus.consume("g", [TOPIC], start_at_zero)
        await publish_a(kafka_bus, 0, 1)
        await drain(member, count=2)
        member.inner._consumer.pause(on_broker(kafka_bus))
        await asyncio.sleep(1)  # the request under way ends after half a second; the next one leaves the partition out
        await publish_a(kafka_bus, 2, 9)
        await admin.delete_records({on_broker(kafka_bus): RecordsToDelete(before_offset=7)})
        member.inner._consumer.resume(on_broker(kafka_bus))
        assert [delivery.offset for delivery in await drain(member, count=3)] == [7, 8, 9]
        assert told(kafka_bus, "expired") == 1
        await member.close()


class TestTruncated:
    async def test_a_position_beyond_the_end_is_told_and_all_that_is_left_read(self, kafka_bus: PrivateKafka) -> None:
        await publish_a(kafka_bus, 0, 2)

        async def beyond(partitions: Collection[TopicPartition]) -> Positions:
            return {OF_A: 1_000}

        member = await kafka_bus.consume("g", [TOPIC], beyond)
        assert [delivery.offset for delivery in await drain(member, count=3)] == [0, 1, 2]
        assert told(kafka_bus, "truncated") == 1
        await member.close()

    async def test_a_log_cut_under_a_running_member_is_read_from_its_beginning(self, kafka_bus: PrivateKafka) -> None:
        member = await kafka_bus.consume("g", [TOPIC], start_at_zero)
        await publish_a(kafka_bus, 0, 2)
        await drain(member, count=3)
        member.inner._next[TopicPartition(*on_broker(kafka_bus))] = 1_000  # as if it had been so long before
        member.inner._consumer.seek(on_broker(kafka_bus), 1_000)
        assert [delivery.offset for delivery in await drain(member, count=3)] == [0, 1, 2]
        assert told(kafka_bus, "truncated") == 1
        await member.close()


class TestReplaced:
    """A new log that has grown beyond the old position looks like the old one; its first events must not be skipped."""

    async def test_while_the_service_was_away(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient, database: Database
    ) -> None:
        async with consuming(database, kafka_bus, Recorder()):
            await kafka_bus.publish([placed("a", n) for n in range(3)])
            await handled(database, {"a": [0, 1, 2]})
        await delete_topic(kafka_bus, admin)
        await kafka_bus.create_topics([TOPIC])
        await publish_until_taken(kafka_bus, [placed("a", n) for n in range(3, 9)])
        async with consuming(database, kafka_bus, Recorder()):
            await handled(database, {"a": list(range(9))})
        assert told(kafka_bus, "replaced", "shop") == 1

    async def test_under_a_running_consumer(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient, database: Database
    ) -> None:
        async with consuming(database, kafka_bus, Recorder()) as consumer:
            await kafka_bus.publish([placed("a", n) for n in range(3)])
            await handled(database, {"a": [0, 1, 2]})
            await delete_topic(kafka_bus, admin)

            async def let_go() -> bool:
                return not held_by(consumer)

            await eventually(let_go, seconds=20)
            await kafka_bus.create_topics([TOPIC])
            await publish_until_taken(kafka_bus, [placed("a", n) for n in range(3, 9)])
            await handled(database, {"a": list(range(9))})
        assert told(kafka_bus, "replaced", "shop") == 1

    async def test_a_group_that_stops_before_its_commit_reads_again_and_does_nothing_twice(
        self, kafka_bus: PrivateKafka, database: Database
    ) -> None:
        """The price: without a commit the brokers look the same as after a deletion."""
        await kafka_bus.publish([placed("a", n) for n in range(3)])
        recorder = Recorder()
        async with consuming(database, kafka_bus, recorder):
            await handled(database, {"a": [0, 1, 2]})
        async with private_kafka(kafka_bus.bootstrap) as elsewhere:  # the same database, brokers that know no commit
            await elsewhere.create_topics([TOPIC])
            await elsewhere.publish([delivery.record for delivery in await read_all(kafka_bus, TOPIC)])
            await elsewhere.publish([placed("a", 3)])
            async with consuming(database, elsewhere, recorder):
                await handled(database, {"a": [0, 1, 2, 3]})
        assert recorder.calls == 4

    async def test_is_not_what_a_log_looks_like_whose_every_commit_has_failed(
        self, kafka_bus: PrivateKafka, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(_self: KafkaMember, _positions: Positions) -> None:
            raise BusUnavailable("the coordinator is away")

        monkeypatch.setattr(KafkaMember, "commit", refuse)
        async with consuming(database, kafka_bus, Recorder()):
            await kafka_bus.publish([placed("a", n) for n in range(3)])
            await handled(database, {"a": [0, 1, 2]})
        async with consuming(database, kafka_bus, Recorder()):
            await kafka_bus.publish([placed("a", 3)])
            await handled(database, {"a": [0, 1, 2, 3]})
        assert told(kafka_bus, "replaced", "shop") == 0


class TestPartitions:
    async def test_that_are_added_while_all_run_move_no_key(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient, database: Database
    ) -> None:
        keys = [f"k{n}" for n in range(12)]
        async with consuming(database, kafka_bus, Recorder()) as consumer:
            await kafka_bus.publish([placed(key, 0) for key in keys])
            await admin.create_partitions({kafka_bus.prefix + TOPIC: NewPartitions(9)})

            async def reads_all() -> bool:
                return len(held_by(consumer)) == 9

            await eventually(reads_all, seconds=20)
            async with private_kafka(kafka_bus.bootstrap) as restarted:
                restarted.prefix = kafka_bus.prefix
                await restarted.publish([placed(key, 1) for key in keys])
            producer = AIOKafkaProducer(bootstrap_servers=kafka_bus.bootstrap)
            await producer.start()
            stranger = placed("stranger", 0)
            tomorrow = int((time.time() + 86_400) * 1000)
            await producer.send_and_wait(
                kafka_bus.prefix + TOPIC, stranger.value, stranger.key, partition=8, timestamp_ms=tomorrow
            )
            await producer.stop()
            await handled(database, {key: [0, 1] for key in keys} | {"stranger": [0]})
        found = await read_all(kafka_bus, TOPIC)
        places = {d.partition for d in found if d.record.key != b"stranger"}
        assert places == {partition_of(key.encode(), 6) for key in keys}

    async def test_that_are_too_few_are_said_so_in_one_line(
        self, kafka_bus: PrivateKafka, admin: AIOKafkaAdminClient
    ) -> None:
        await admin.create_topics([NewTopic(kafka_bus.prefix + "orders.narrow", 3, 1)])
        with pytest.raises(BusUnavailable, match=r"orders\.narrow has 3 partitions, not 6") as error:
            await kafka_bus.create_topics(["orders.narrow"])
        assert "\n" not in str(error.value)
        with pytest.raises(BusUnavailable, match=r"orders\.narrow has 3 partitions, not 6"):
            await kafka_bus.publish([Record("orders.narrow", b"a", b"1")])


async def test_headers_that_a_broker_refuses_are_too_large(kafka_bus: PrivateKafka) -> None:
    with pytest.raises(RecordTooLarge, match="a broker's limit is below ours"):
        await kafka_bus.publish([Record(TOPIC, b"a", bytes(4 * 2**20 - 10), (("h", bytes(2 * 2**20)),))])
    await publish_a(kafka_bus, 0, 0)
    assert values_by_key(await read_all(kafka_bus, TOPIC)) == {b"a": [b"0"]}
