"""The tables of governance."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from chassis.chain.tables import Lane, chain_tables
from chassis.db import Moment, WeiColumn, new_metadata
from chassis.tables import attach_chassis_tables

metadata = new_metadata()

proposals = sa.Table(
    "proposals",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("author_id", sa.Uuid, nullable=False),
    sa.Column("proposer", sa.Text, nullable=False),
    sa.Column("proposer_votes_wei", WeiColumn, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("actions", JSONB, nullable=False),
    # What goes on chain: [{target, value_wei, calldata}], and the hash of it that ballots name.
    sa.Column("calls", JSONB, nullable=False),
    sa.Column("actions_hash", sa.Text, nullable=False),
    sa.Column("effective_at", Moment, comment="when the parameters of the proposal would take effect"),
    sa.Column("snapshot_at", Moment, nullable=False),
    sa.Column("snapshot_block", sa.BigInteger, nullable=False),
    sa.Column("opens_at", Moment, nullable=False),
    sa.Column("closes_at", Moment, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("quorum_wei", WeiColumn, nullable=False),
    # Null until counted, then never changed.
    sa.Column("outcome", sa.Text),
    sa.Column("for_wei", WeiColumn),
    sa.Column("against_wei", WeiColumn),
    sa.Column("abstain_wei", WeiColumn),
    sa.Column("ballots", sa.BigInteger),
    sa.Column("closed_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.CheckConstraint(
        "status in ('pending','open','passed','rejected','submitted','queued','executed','cancelled')", name="status"
    ),
    sa.CheckConstraint("opens_at < closes_at", name="times"),
)
sa.Index("ix_proposals_live", proposals.c.closes_at, postgresql_where=proposals.c.status.in_(["pending", "open"]))
sa.Index("ix_proposals_author", proposals.c.author_id, postgresql_where=proposals.c.status.in_(["pending", "open"]))

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("proposal_id", sa.Uuid, sa.ForeignKey("proposals.id"), nullable=False),
    sa.Column("voter", sa.Text, nullable=False),
    sa.Column("choice", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("nonce", sa.BigInteger, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("weight_wei", WeiColumn, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("proposal_id", "voter"),
    sa.CheckConstraint("choice in ('for','against','abstain')", name="choice"),
    sa.CheckConstraint("weight_wei > 0", name="weight"),
)

vote_checkpoints = sa.Table(
    "vote_checkpoints",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("block_number", sa.BigInteger, primary_key=True),
    sa.Column("log_index", sa.Integer, primary_key=True),
    sa.Column("votes_wei", WeiColumn, nullable=False),
)
"""The votes an account had after each log that changed them."""

sa.Index("ix_vote_checkpoints_block", vote_checkpoints.c.block_number)

supply_checkpoints = sa.Table(
    "supply_checkpoints",
    metadata,
    sa.Column("block_number", sa.BigInteger, primary_key=True),
    sa.Column("log_index", sa.Integer, primary_key=True),
    sa.Column("supply_wei", WeiColumn, nullable=False),
)
"""The total supply after each mint or burn."""

indexed_blocks = sa.Table(
    "indexed_blocks",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("timestamp", sa.BigInteger, comment="chain time in Unix seconds; null until the node was asked"),
    sa.Column("is_head", sa.Boolean, nullable=False, comment="everything up to this block has been indexed"),
    sa.Column("has_logs", sa.Boolean, nullable=False),
)
"""The blocks whose time matters: those with checkpoints, and how far the index has come."""

sa.Index("ix_indexed_blocks_timestamp", indexed_blocks.c.timestamp, indexed_blocks.c.number)
sa.Index("ix_indexed_blocks_untimed", indexed_blocks.c.number, postgresql_where=indexed_blocks.c.timestamp.is_(None))
sa.Index("ix_indexed_blocks_heads", indexed_blocks.c.number, postgresql_where=indexed_blocks.c.is_head)

parameter_versions = sa.Table(
    "parameter_versions",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entries", JSONB, nullable=False, comment="name → digit string, the whole set"),
    sa.Column("effective_at", Moment, nullable=False),
    sa.Column("block_number", sa.BigInteger, comment="null for version 0 until its log was seen"),
    sa.Column("chain_tx_hash", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
)

delegations = sa.Table(
    "delegations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("delegator", sa.Text, nullable=False),
    sa.Column("delegatee", sa.Text, nullable=False),
    sa.Column("nonce", sa.BigInteger, nullable=False),
    sa.Column("expiry", WeiColumn, nullable=False, comment="chain time in Unix seconds"),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("intent_id", sa.Uuid, nullable=False, unique=True),
    # The hash of the first attempt; a replacement with a higher fee has another.
    sa.Column("chain_tx_hash", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.CheckConstraint("status in ('submitted','confirmed','failed')", name="status"),
)
sa.Index(
    "uq_delegations_live",
    delegations.c.delegator,
    delegations.c.nonce,
    unique=True,
    postgresql_where=delegations.c.status != "failed",
)

attach_chassis_tables(metadata)
chain = chain_tables(metadata)
RELAY = Lane("relay", chain)
"""The lane of governance's own key."""
