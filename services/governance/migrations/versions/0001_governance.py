"""The tables of governance, version 0 of the parameters, and triggers that keep counted ballots as they are."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

GENESIS = {
    "client_fee_bps": "1000",
    "connector_reward_bps": "100",
    "epoch_budget_wei": "3000000000000000000000000",
    "epoch_seconds": "2592000",
    "min_payout_wei": "0",
    "referral_duration_seconds": "0",
    "reward_hold_seconds": "0",
    "screening_reward_wei": "10000000000000000000",
}

VOTES_ARE_FINAL = """
CREATE FUNCTION refuse_late_votes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM proposals WHERE id = coalesce(NEW.proposal_id, OLD.proposal_id) AND outcome IS NOT NULL)
    THEN RAISE EXCEPTION 'the ballots of a counted proposal cannot change';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
"""

COUNT_IS_FINAL = """
CREATE FUNCTION refuse_recount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome IS NOT NULL AND (TG_OP = 'DELETE' OR
        (OLD.outcome, OLD.for_wei, OLD.against_wei, OLD.abstain_wei, OLD.ballots, OLD.quorum_wei, OLD.closed_at,
         OLD.actions_hash, OLD.snapshot_block) IS DISTINCT FROM
        (NEW.outcome, NEW.for_wei, NEW.against_wei, NEW.abstain_wei, NEW.ballots, NEW.quorum_wei, NEW.closed_at,
         NEW.actions_hash, NEW.snapshot_block))
    THEN RAISE EXCEPTION 'the count of a proposal cannot change';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
"""

TRIGGERS = (
    """CREATE TRIGGER votes_are_final BEFORE INSERT OR UPDATE OR DELETE ON votes
    FOR EACH ROW EXECUTE FUNCTION refuse_late_votes()""",
    """CREATE TRIGGER count_is_final BEFORE UPDATE OR DELETE ON proposals
    FOR EACH ROW EXECUTE FUNCTION refuse_recount()""",
)
revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "chain_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.Text(), nullable=False),
        sa.Column("block_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chain_cursors")),
    )
    op.create_table(
        "chain_lanes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("genesis_hash", sa.Text(), nullable=False),
        sa.Column("first_nonce", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fencing_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("halted", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("alarm", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chain_lanes")),
    )
    op.create_table(
        "chain_pins",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_chain_pins")),
    )
    op.create_table(
        "delegations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("delegator", sa.Text(), nullable=False),
        sa.Column("delegatee", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("expiry", sa.Numeric(78, 0), nullable=False, comment="chain time in Unix seconds"),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Uuid(), nullable=False),
        sa.Column("chain_tx_hash", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('submitted','confirmed','failed')", name=op.f("ck_delegations_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegations")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_delegations_intent_id")),
    )
    op.create_index(
        "uq_delegations_live",
        "delegations",
        ["delegator", "nonce"],
        unique=True,
        postgresql_where=sa.text("status != 'failed'"),
    )
    op.create_table(
        "idempotency",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("member_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("consumer_group", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="done or parked"),
        sa.Column(
            "handled_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("consumer_group", "event_id", name=op.f("pk_inbox")),
    )
    op.create_table(
        "indexed_blocks",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "timestamp",
            sa.BigInteger(),
            nullable=True,
            comment="chain time in Unix seconds; null until the node was asked",
        ),
        sa.Column("is_head", sa.Boolean(), nullable=False, comment="everything up to this block has been indexed"),
        sa.Column("has_logs", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_indexed_blocks")),
    )
    op.create_index("ix_indexed_blocks_heads", "indexed_blocks", ["number"], unique=False, postgresql_where="is_head")
    op.create_index("ix_indexed_blocks_timestamp", "indexed_blocks", ["timestamp", "number"], unique=False)
    op.create_index(
        "ix_indexed_blocks_untimed",
        "indexed_blocks",
        ["number"],
        unique=False,
        postgresql_where=sa.text("timestamp IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True, comment="null for copies that go to a dead-letter topic"),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unsent", "outbox", ["id", "shard"], unique=False, postgresql_where=sa.text("sent_at IS NULL")
    )
    op.create_table(
        "outbox_sequence",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "key", name=op.f("pk_outbox_sequence")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "parameter_versions",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "entries",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="name → digit string, the whole set",
        ),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=True, comment="null for version 0 until its log was seen"),
        sa.Column("chain_tx_hash", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_parameter_versions")),
    )
    op.create_table(
        "parked",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("consumer_group", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="0: it never ran, it waits behind another of its key"
        ),
        sa.Column("parked_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked")),
    )
    op.create_index("ix_parked_key", "parked", ["consumer_group", "topic", "key", "id"], unique=False)
    op.create_table(
        "positions",
        sa.Column("consumer_group", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_group", "topic", "partition", name=op.f("pk_positions")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "proposals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("proposer", sa.Text(), nullable=False),
        sa.Column("proposer_votes_wei", sa.Numeric(78, 0), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("actions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("calls", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("actions_hash", sa.Text(), nullable=False),
        sa.Column(
            "effective_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the parameters of the proposal would take effect",
        ),
        sa.Column("snapshot_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snapshot_block", sa.BigInteger(), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("quorum_wei", sa.Numeric(78, 0), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("for_wei", sa.Numeric(78, 0), nullable=True),
        sa.Column("against_wei", sa.Numeric(78, 0), nullable=True),
        sa.Column("abstain_wei", sa.Numeric(78, 0), nullable=True),
        sa.Column("ballots", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('pending','open','passed','rejected','submitted','queued','executed','cancelled')",
            name=op.f("ck_proposals_status"),
        ),
        sa.CheckConstraint("opens_at < closes_at", name=op.f("ck_proposals_times")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
    )
    op.create_index(
        "ix_proposals_author",
        "proposals",
        ["author_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'open')"),
    )
    op.create_index(
        "ix_proposals_live",
        "proposals",
        ["closes_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'open')"),
    )
    op.create_table(
        "supply_checkpoints",
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("supply_wei", sa.Numeric(78, 0), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index", name=op.f("pk_supply_checkpoints")),
    )
    op.create_table(
        "vote_checkpoints",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("votes_wei", sa.Numeric(78, 0), nullable=False),
        sa.PrimaryKeyConstraint("account", "block_number", "log_index", name=op.f("pk_vote_checkpoints")),
    )
    op.create_index("ix_vote_checkpoints_block", "vote_checkpoints", ["block_number"], unique=False)
    op.create_table(
        "chain_blocks",
        sa.Column("cursor_name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cursor_name"], ["chain_cursors.name"], name=op.f("fk_chain_blocks_cursor_name_chain_cursors")
        ),
        sa.PrimaryKeyConstraint("cursor_name", "number", name=op.f("pk_chain_blocks")),
    )
    op.create_table(
        "chain_intents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("to_address", sa.Text(), nullable=False),
        sa.Column("calldata", sa.LargeBinary(), nullable=False),
        sa.Column("gas_limit", sa.BigInteger(), nullable=False),
        sa.Column("log_address", sa.Text(), nullable=True),
        sa.Column("log_topic", sa.Text(), nullable=True),
        sa.Column("transaction_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.Column("gas_price_wei", sa.Numeric(78, 0), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_data", sa.LargeBinary(), nullable=True),
        sa.Column("is_settled", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("mined_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("gas_limit > 0 and count >= 0 and nonce >= 0", name=op.f("ck_chain_intents_positive")),
        sa.ForeignKeyConstraint(["lane"], ["chain_lanes.name"], name=op.f("fk_chain_intents_lane_chain_lanes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_intents")),
        sa.UniqueConstraint("lane", "nonce", name=op.f("uq_chain_intents_lane_nonce")),
    )
    op.create_index("ix_chain_intents_reference", "chain_intents", ["lane", "reference"], unique=False)
    op.create_index(
        "ix_chain_intents_unsettled",
        "chain_intents",
        ["lane", "nonce"],
        unique=False,
        postgresql_where=sa.text("NOT is_settled"),
    )
    op.create_table(
        "votes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("proposal_id", sa.Uuid(), nullable=False),
        sa.Column("voter", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("weight_wei", sa.Numeric(78, 0), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("choice in ('for','against','abstain')", name=op.f("ck_votes_choice")),
        sa.CheckConstraint("weight_wei > 0", name=op.f("ck_votes_weight")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name=op.f("fk_votes_proposal_id_proposals")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_votes")),
        sa.UniqueConstraint("proposal_id", "voter", name=op.f("uq_votes_proposal_id_voter")),
    )
    op.create_table(
        "chain_attempts",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("max_fee_per_gas_wei", sa.Numeric(78, 0), nullable=False),
        sa.Column("max_priority_fee_per_gas_wei", sa.Numeric(78, 0), nullable=False),
        sa.Column("signed_at_block", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["intent_id"], ["chain_intents.id"], name=op.f("fk_chain_attempts_intent_id_chain_intents")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_chain_attempts")),
        sa.UniqueConstraint("intent_id", "position", name=op.f("uq_chain_attempts_intent_id_position")),
    )
    _seed()
    for statement in (VOTES_ARE_FINAL, COUNT_IS_FINAL, *TRIGGERS):
        op.execute(statement)


def _seed() -> None:
    versions = sa.table(
        "parameter_versions",
        sa.column("version", sa.BigInteger()),
        sa.column("entries", postgresql.JSONB()),
        sa.column("effective_at", sa.DateTime(timezone=True)),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    start = datetime(1970, 1, 1, tzinfo=UTC)
    entries = sa.cast(sa.literal(json.dumps(GENESIS), sa.Text()), postgresql.JSONB())  # as `--sql` can print it, too
    op.execute(versions.insert().values(version=0, entries=entries, effective_at=start, created_at=start))


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("chain_attempts")
    op.drop_table("votes")
    op.drop_index("ix_chain_intents_unsettled", table_name="chain_intents", postgresql_where=sa.text("NOT is_settled"))
    op.drop_index("ix_chain_intents_reference", table_name="chain_intents")
    op.drop_table("chain_intents")
    op.drop_table("chain_blocks")
    op.drop_index("ix_vote_checkpoints_block", table_name="vote_checkpoints")
    op.drop_table("vote_checkpoints")
    op.drop_table("supply_checkpoints")
    op.drop_index(
        "ix_proposals_live", table_name="proposals", postgresql_where=sa.text("status IN ('pending', 'open')")
    )
    op.drop_index(
        "ix_proposals_author", table_name="proposals", postgresql_where=sa.text("status IN ('pending', 'open')")
    )
    op.drop_table("proposals")
    op.drop_table("positions")
    op.drop_index("ix_parked_key", table_name="parked")
    op.drop_table("parked")
    op.drop_table("parameter_versions")
    op.drop_table("outbox_sequence")
    op.drop_index("ix_outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_table("outbox")
    op.drop_index(
        "ix_indexed_blocks_untimed", table_name="indexed_blocks", postgresql_where=sa.text("timestamp IS NULL")
    )
    op.drop_index("ix_indexed_blocks_timestamp", table_name="indexed_blocks")
    op.drop_index("ix_indexed_blocks_heads", table_name="indexed_blocks", postgresql_where="is_head")
    op.drop_table("indexed_blocks")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_index("uq_delegations_live", table_name="delegations", postgresql_where=sa.text("status != 'failed'"))
    op.drop_table("delegations")
    op.drop_table("chain_pins")
    op.drop_table("chain_lanes")
    op.drop_table("chain_cursors")
    op.execute("DROP FUNCTION refuse_late_votes()")
    op.execute("DROP FUNCTION refuse_recount()")
