"""What every bus must do. Runs on the bus in memory, on the log in PostgreSQL and on a Kafka broker."""

import asyncio
from typing import Any

import pytest

from chassis.bus import (
    MAX_DEAD_LETTER_BYTES,
    MAX_RECORD_BYTES,
    Bus,
    Fenced,
    Record,
    RecordTooLarge,
    TopicPartition,
    UnknownTopic,
    partition_of,
)
from tests.chassis.messaging.samples import TOPIC, drain, positions_after, read_all, values_by_key


def record(key: str, value: str) -> Record:
    return Record(TOPIC, key.encode(), value.encode(), (("h", b"\xff\x00"),))


async def test_a_record_comes_back_byte_for_byte(bus: Bus) -> None:
    given = [
        Record(TOPIC, b"k\x00\xff", b"\x00\xfe", (("a", b"\x80"), ("a", b""))),
        Record(TOPIC, None, b"no key"),
        Record(TOPIC, b"", None),
    ]
    await bus.publish(given)
    found = [delivery.record for delivery in await read_all(bus, TOPIC)]
    assert sorted(found, key=repr) == sorted(given, key=repr)


async def test_each_key_keeps_its_order_and_its_partition(bus: Bus) -> None:
    keys = [f"key-{n}" for n in range(20)]
    for number in range(10):
        await bus.publish([record(key, str(number)) for key in keys])
    member = await bus.consume("g", [TOPIC])
    found = await drain(member, count=200)
    assert values_by_key(found) == {key.encode(): [str(n).encode() for n in range(10)] for key in keys}
    assert all(delivery.partition == partition_of(delivery.record.key or b"", 6) for delivery in found)
    await member.close()


async def test_offsets_are_contiguous_in_each_partition(bus: Bus) -> None:
    await asyncio.gather(*(bus.publish([record(f"{n}-{m}", "x") for m in range(7)]) for n in range(20)))
    offsets: dict[int, list[int]] = {}
    for delivery in await read_all(bus, TOPIC):
        offsets.setdefault(delivery.partition, []).append(delivery.offset)
    assert sum(map(len, offsets.values())) == 140
    assert all(found == list(range(len(found))) for found in offsets.values())
    ends = await bus.end_offsets([TOPIC])
    assert ends == {TopicPartition(TOPIC, n): len(offsets.get(n, [])) for n in range(6)}


async def test_groups_are_independent(bus: Bus) -> None:
    await bus.publish([record(str(n), "x") for n in range(30)])
    first, second = await bus.consume("one", [TOPIC]), await bus.consume("two", [TOPIC])
    assert len(await drain(first, count=30)) == 30
    assert len(await drain(second, count=30)) == 30
    await first.close()
    await second.close()


async def test_two_members_share_the_partitions(bus: Bus) -> None:
    first, second = await bus.consume("g", [TOPIC]), await bus.consume("g", [TOPIC])
    async with asyncio.timeout(10):
        while len(first.assignment()) != 3 or len(second.assignment()) != 3:
            await first.fetch(max_records=10, timeout_seconds=0.05)
            await second.fetch(max_records=10, timeout_seconds=0.05)
    assert not first.assignment() & second.assignment()
    await bus.publish([record(str(n), str(n)) for n in range(60)])
    found: list[Any] = []
    async with asyncio.timeout(10):
        while len(found) < 60:
            for member in (first, second):
                fetched = await member.fetch(max_records=100, timeout_seconds=0.05)
                assert {delivery.at for delivery in fetched} <= member.assignment()
                found += fetched
    assert sorted(delivery.record.value for delivery in found) == sorted(str(n).encode() for n in range(60))
    await first.close()
    await second.close()


async def test_partitions_of_a_member_that_leaves_are_free_at_once(bus: Bus) -> None:
    first = await bus.consume("g", [TOPIC])
    assert len(first.assignment()) == 6
    await first.close()
    second = await bus.consume("g", [TOPIC])
    assert len(second.assignment()) == 6
    await second.close()


async def test_a_member_that_falls_silent_is_replaced_and_fenced(bus: Bus) -> None:
    await bus.publish([record(str(n), str(n)) for n in range(30)])
    silent: Any = await bus.consume("g", [TOPIC])
    seen = await drain(silent, count=30)
    await silent.commit(dict.fromkeys(positions_after(seen), 1))
    await silent.abandon()
    heir = await bus.consume("g", [TOPIC])
    assert not heir.assignment()
    found = await drain(heir, count=24, seconds=10)
    assert len(heir.assignment()) == 6
    assert all(delivery.offset >= 1 for delivery in found), "it goes on where the silent one had committed"
    with pytest.raises(Fenced):
        await silent.commit(positions_after(seen))
    await heir.commit(positions_after(found))
    assert await bus.committed("g", [TOPIC]) == positions_after(found)
    await heir.close()
    await silent.close()


async def test_start_positions_rule_over_what_was_committed(bus: Bus) -> None:
    await bus.publish([record(str(n), str(n)) for n in range(30)])
    first = await bus.consume("g", [TOPIC])
    await first.commit(positions_after(await drain(first, count=30)))
    await first.close()
    asked: set[TopicPartition] = set()

    async def start(partitions: Any) -> dict[TopicPartition, int]:
        asked.update(partitions)
        return {}

    second = await bus.consume("g", [TOPIC], start)
    assert len(await drain(second, count=30)) == 30
    assert asked == {TopicPartition(TOPIC, n) for n in range(6)}
    await second.close()


@pytest.mark.parametrize("seen", [10, 30])
async def test_who_goes_on_where_nobody_committed_says_so(bus: Bus, seen: int) -> None:
    """A member that ends between storing and committing leaves no lag behind, though nothing comes after."""
    await bus.publish([record(str(n), str(n)) for n in range(30)])
    first = await bus.consume("g", [TOPIC])
    stored = positions_after(await drain(first, count=30))
    committed = {at: min(position, seen // 10) for at, position in stored.items()}
    await first.commit(committed)
    await first.close()

    async def start(_partitions: Any) -> dict[TopicPartition, int]:
        return stored

    second = await bus.consume("g", [TOPIC], start)
    async with asyncio.timeout(10):
        while await bus.committed("g", [TOPIC]) != stored:
            assert not await second.fetch(max_records=100, timeout_seconds=0.1)
    await second.close()


async def test_a_position_beyond_the_end_reads_from_the_beginning(bus: Bus) -> None:
    await bus.publish([record(str(n), str(n)) for n in range(30)])

    async def start(partitions: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 1_000)

    member = await bus.consume("g", [TOPIC], start)
    assert len(await drain(member, count=30)) == 30
    await member.close()


async def test_a_failing_start_position_gives_no_partition_away(bus: Bus) -> None:
    await bus.publish([record(str(n), str(n)) for n in range(30)])
    away = True

    async def start(partitions: Any) -> dict[TopicPartition, int]:
        if away:
            raise ConnectionError("the database is away")
        return dict.fromkeys(partitions, 0)

    with pytest.raises(ConnectionError):
        await bus.consume("g", [TOPIC], start)
    away = False
    member = await bus.consume("g", [TOPIC], start)
    assert len(await drain(member, count=30)) == 30
    await member.close()


async def test_nothing_is_skipped_while_many_publish(bus: Bus) -> None:
    member = await bus.consume("g", [TOPIC])

    async def write(writer: int) -> None:
        for number in range(20):
            await bus.publish([record(f"w{writer}-{n}", str(number)) for n in range(3)])

    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    found = values_by_key(await drain(member, count=480, seconds=30))
    await asyncio.gather(*writers)
    assert found == {f"w{w}-{n}".encode(): [str(k).encode() for k in range(20)] for w in range(8) for n in range(3)}
    await member.close()


async def test_a_batch_is_all_or_nothing(bus: Bus) -> None:
    with pytest.raises(UnknownTopic):
        await bus.publish([record("a", "1"), Record("orders.unheard", b"a", b"2")])
    with pytest.raises(RecordTooLarge):
        await bus.publish([record("a", "1"), Record(TOPIC, b"a", bytes(MAX_RECORD_BYTES + 1))])
    assert await read_all(bus, TOPIC) == []


async def test_dead_letters_may_be_larger(bus: Bus) -> None:
    await bus.create_topics(["orders.order.shop.dlq"])
    value = bytes(MAX_RECORD_BYTES + 1)
    await bus.publish([Record("orders.order.shop.dlq", b"a", value)])
    with pytest.raises(RecordTooLarge):
        await bus.publish([Record("orders.order.shop.dlq", b"a", bytes(MAX_DEAD_LETTER_BYTES + 1))])
    assert [delivery.record.value for delivery in await read_all(bus, "orders.order.shop.dlq")] == [value]


async def test_creating_a_topic_twice_changes_nothing(bus: Bus) -> None:
    await bus.publish([record("a", "1")])
    await bus.create_topics([TOPIC, TOPIC])
    assert len(await read_all(bus, TOPIC)) == 1
    with pytest.raises(ValueError, match="not a topic name"):
        await bus.create_topics(["orders order"])


async def test_a_topic_made_later_is_read_too(bus: Bus) -> None:
    member = await bus.consume("g", [TOPIC, "orders.later"])
    await bus.create_topics(["orders.later"])
    await bus.publish([Record("orders.later", b"k", b"v")])
    assert [delivery.record.topic for delivery in await drain(member, count=1)] == ["orders.later"]
    await member.close()


async def test_a_follower_sees_what_comes_after_it(bus: Bus) -> None:
    await bus.publish([record("a", "before")])
    seen: list[bytes | None] = []

    async def follow() -> None:
        async for delivery in bus.read(TOPIC, start=None, follow=True):
            seen.append(delivery.record.value)
            if len(seen) == 3:
                return

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.3)
    for n in range(3):
        await bus.publish([record("a", str(n))])
    await asyncio.wait_for(task, 10)
    assert seen == [b"0", b"1", b"2"]


async def test_a_fetch_returns_soon_after_a_publish(bus: Bus) -> None:
    member = await bus.consume("g", [TOPIC])
    await member.fetch(max_records=10, timeout_seconds=0.1)
    waiting = asyncio.create_task(member.fetch(max_records=10, timeout_seconds=30))
    await asyncio.sleep(0.1)
    await bus.publish([record("a", "1")])
    assert len(await asyncio.wait_for(waiting, 5)) == 1
    await member.close()
