"""The tables of lanes, intents, attempts, cursors and pins; each service attaches them to its own metadata."""

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

from chassis.db import Moment, WeiColumn


@dataclass(frozen=True)
class ChainTables:
    """The chain's tables of one service."""

    lanes: Table
    intents: Table
    attempts: Table
    cursors: Table
    blocks: Table
    pins: Table


@dataclass(frozen=True)
class Lane:
    """One key's row of nonces in one database. The name is the service's choice."""

    name: str
    tables: ChainTables


def chain_tables(metadata: MetaData) -> ChainTables:
    """Attach the tables to `metadata`, so that the service's migrations create them."""
    return ChainTables(
        lanes=_lanes(metadata),
        intents=_intents(metadata),
        attempts=_attempts(metadata),
        cursors=_cursors(metadata),
        blocks=_blocks(metadata),
        pins=_pins(metadata),
    )


def _lanes(metadata: MetaData) -> Table:
    return Table(
        "chain_lanes",
        metadata,
        Column("name", Text, primary_key=True),
        Column("address", Text, nullable=False),
        Column("chain_id", BigInteger, nullable=False),
        Column("genesis_hash", Text, nullable=False),
        # The nonce of the first intent; raised only when a restored database has forgotten some.
        Column("first_nonce", BigInteger, nullable=False),
        Column("lease_owner", Text),
        Column("lease_until", Moment),
        Column("fencing_token", BigInteger, nullable=False, server_default="0"),
        # A person must look: nothing is reserved or signed.
        Column("halted", Text),
        # May pass by itself (no node in reach): shown, never obeyed.
        Column("problem", Text),
        Column("alarm", Text),
        Column("created_at", Moment, nullable=False, server_default=func.now()),
    )


def _intents(metadata: MetaData) -> Table:
    table = Table(
        "chain_intents",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("lane", Text, ForeignKey("chain_lanes.name"), nullable=False),
        Column("nonce", BigInteger, nullable=False),
        Column("state", Text, nullable=False),
        Column("reference", Text, nullable=False),
        Column("first_id", BigInteger),
        Column("count", Integer, nullable=False),
        Column("to_address", Text, nullable=False),
        Column("calldata", LargeBinary, nullable=False),
        Column("gas_limit", BigInteger, nullable=False),
        Column("log_address", Text),
        Column("log_topic", Text),
        Column("transaction_hash", Text),
        Column("block_number", BigInteger),
        Column("block_hash", Text),
        Column("gas_used", BigInteger),
        Column("gas_price_wei", WeiColumn),
        Column("failure_code", Text),
        Column("failure_data", LargeBinary),
        # The trace of whoever reserved it: signing, sending and the receipt belong to it.
        Column("traceparent", Text),
        # True once no reorganisation can change it any more.
        Column("is_settled", Boolean, nullable=False, server_default="false"),
        Column("created_at", Moment, nullable=False, server_default=func.now()),
        # Put back in line by a reorganisation: only from then on does it wait too long.
        Column("waiting_since", Moment, nullable=False, server_default=func.now()),
        Column("mined_at", Moment),
        UniqueConstraint("lane", "nonce"),
        CheckConstraint("gas_limit > 0 and count >= 0 and nonce >= 0", name="positive"),
    )
    Index("ix_chain_intents_unsettled", table.c.lane, table.c.nonce, postgresql_where=~table.c.is_settled)
    Index("ix_chain_intents_reference", table.c.lane, table.c.reference)
    Index("ix_chain_intents_mined", table.c.lane, table.c.mined_at)
    return table


def _attempts(metadata: MetaData) -> Table:
    return Table(
        "chain_attempts",
        metadata,
        Column("hash", Text, primary_key=True),
        Column("intent_id", Uuid, ForeignKey("chain_intents.id"), nullable=False),
        Column("position", SmallInteger, nullable=False),
        # Empty for a transaction found on the chain that this database had forgotten.
        Column("raw", LargeBinary, nullable=False),
        Column("max_fee_per_gas_wei", WeiColumn, nullable=False),
        Column("max_priority_fee_per_gas_wei", WeiColumn, nullable=False),
        # The chain's tip when it was signed: no replacement before a block has passed it by.
        Column("signed_at_block", BigInteger, nullable=False),
        Column("sent_at", Moment),
        Column("last_answer", Text),
        Column("created_at", Moment, nullable=False, server_default=func.now()),
        UniqueConstraint("intent_id", "position"),
    )


def _cursors(metadata: MetaData) -> Table:
    return Table(
        "chain_cursors",
        metadata,
        Column("name", Text, primary_key=True),
        Column("block_number", BigInteger, nullable=False),
        Column("block_hash", Text, nullable=False),
        Column("block_timestamp", BigInteger, nullable=False),
        Column("updated_at", Moment, nullable=False, server_default=func.now()),
    )


def _blocks(metadata: MetaData) -> Table:
    return Table(
        "chain_blocks",
        metadata,
        Column("cursor_name", Text, ForeignKey("chain_cursors.name"), primary_key=True),
        Column("number", BigInteger, primary_key=True),
        Column("hash", Text, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
    )


def _pins(metadata: MetaData) -> Table:
    return Table(
        "chain_pins",
        metadata,
        Column("subject", Text, primary_key=True),
        Column("value", Text, nullable=False),
        Column("created_at", Moment, nullable=False, server_default=func.now()),
    )
