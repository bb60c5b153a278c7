"""Where a member begins to read; and what is told when a partition is not what the group has left.

Topics are never compacted and written without transactions, so a gap is a loss, and a step back is another log.
Either is told as an error and counted: nobody may have to find out from what is missing.
"""

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from prometheus_client import Counter

from chassis.bus import Positions, TopicPartition
from chassis.telemetry import log

MOVED = Counter(
    "btrst_kafka_positions_moved_total", "Times a partition was not what the group has left", ["group", "topic", "why"]
)


class Why(Enum):
    """What became of the log behind a position."""

    EXPIRED = "expired"
    """Events between the position and the first one that is left are gone, unread."""

    TRUNCATED = "truncated"
    """The log ends before the position, so what was read there is no longer in it: everything left is read again."""

    REPLACED = "replaced"
    """The brokers know of no commit of the group: the topic was deleted and made anew (that takes the commits away
    with it), or the commits expired. Everything is read again; what was handled is known to the inbox."""


class Logs(NamedTuple):
    """What the brokers know: the first offset, the one after the last, and what the group committed."""

    first: Positions
    end: Positions
    committed: Positions


def starts_of(group: str, held: Collection[TopicPartition], wanted: Positions, logs: Logs) -> dict[TopicPartition, int]:
    """Where to begin in each partition of `held`: at what is `wanted`, unless the log there is another one."""
    starts = {}
    for at in held:
        begin = logs.first.get(at, 0)
        position = wanted.get(at, begin)
        starts[at] = position
        if position < begin:
            starts[at] = tell(group, at, position, begin, Why.EXPIRED)
        elif position > logs.end.get(at, 0):
            starts[at] = tell(group, at, position, begin, Why.TRUNCATED)
        elif position > begin and at not in logs.committed:
            starts[at] = tell(group, at, position, begin, Why.REPLACED)
    return starts


def tell(group: str, at: TopicPartition, position: int, goes_on: int, why: Why | None = None) -> int:
    """Tell that the group goes on elsewhere than at `position`; where that is."""
    why = why or (Why.EXPIRED if goes_on > position else Why.TRUNCATED)
    MOVED.labels(group, at.topic, why.value).inc()
    log.error(
        "kafka_position_moved",
        group=group,
        at=f"{at.topic} {at.partition}",
        position=position,
        goes_on=goes_on,
        why=why.value,
    )
    return goes_on
