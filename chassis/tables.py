"""The chassis' own tables. Every service's database has them, made by the service's own migrations."""

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.db import Moment, new_metadata

metadata = new_metadata()

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("type", Text, comment="null for copies that go to a dead-letter topic"),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"},
)
"""Records to publish, written in the unit of work of what they tell, deleted once the bus has them.

Deleting costs a quarter of marking: a mark writes the whole row again. What was published is on the bus.
"""

outbox_sequence = Table(
    "outbox_sequence",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 70},
)
"""The last `sequence` given to each key. Its row lock makes the order of commits the order of sequences."""

inbox = Table(
    "inbox",
    metadata,
    Column("consumer_group", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("status", Text, nullable=False, comment="done or parked"),
    Column("handled_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
)
"""Which events each consumer group has seen: what makes a redelivered event a no-op."""

parked = Table(
    "parked",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("consumer_group", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False, comment="0: it never ran, it waits behind another of its key"),
    Column("parked_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
)
"""Events whose handler kept failing, and those of the same key behind them, until somebody replays them."""

Index("ix_parked_key", parked.c.consumer_group, parked.c.topic, parked.c.key, parked.c.id)

positions = Table(
    "positions",
    metadata,
    Column("consumer_group", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 50},
)
"""The next offset each group reads, stored with the effects of what it has read."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("member_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
)
"""Answers already given under an Idempotency-Key."""

Index("ix_idempotency_created_at", idempotency.c.created_at)


def attach_chassis_tables(target: MetaData) -> None:
    """Copy the chassis' tables into a service's metadata, so that its migrations create them."""
    for table in metadata.tables.values():
        table.to_metadata(target)
