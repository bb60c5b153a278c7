"""The first tables of rewards, the chain's and the chassis' own, and the rules of the ledger."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


LEDGER_RULES = (
    """
    CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
    """,
    """
    CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM added GROUP BY entry_id, asset HAVING sum(amount_wei) <> 0) THEN
            RAISE EXCEPTION 'a ledger entry does not sum to 0' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_postings REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced()
    """,
)
"""The ledger is only ever added to, and every entry sums to 0 for each asset."""


def upgrade() -> None:  # noqa: PLR0915 - one statement per table and index
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
        "chain_figures",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("total_supply_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("cap_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("onchain_minted_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("ledger_minted_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("as_of_block", sa.BigInteger(), nullable=False),
        sa.Column("minted_month_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_chain_figures_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_figures")),
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
        "epochs",
        sa.Column("epoch_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("charged_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("epoch_start", name=op.f("pk_epochs")),
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
        "ledger_postings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), server_default="BTRST", nullable=False),
        sa.Column("amount_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("reward_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True, comment="of a mint: the block of its chain tx"),
        sa.Column("is_shown", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_postings")),
    )
    op.create_index(
        "ix_ledger_postings_minted",
        "ledger_postings",
        ["block_number"],
        unique=False,
        postgresql_include=["amount_wei"],
        postgresql_where=sa.text("account = 'minted'"),
    )
    op.create_index("ix_ledger_postings_reward", "ledger_postings", ["reward_id"], unique=False)
    op.create_index(
        "ix_ledger_postings_shown",
        "ledger_postings",
        ["beneficiary_id", "id"],
        unique=False,
        postgresql_where="is_shown",
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
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
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
        "parties",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("is_known", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("is_unknown_to_identity", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("connector_id", sa.Uuid(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("needed_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("receivable_wei", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
        sa.CheckConstraint("NOT is_known OR registered_at IS NOT NULL", name=op.f("ck_parties_known")),
        sa.CheckConstraint("receivable_wei >= 0", name=op.f("ck_parties_receivable")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_parties")),
    )
    op.create_index(
        "ix_parties_needed",
        "parties",
        ["needed_since"],
        unique=False,
        postgresql_where=sa.text("needed_since IS NOT NULL AND NOT is_known"),
    )
    op.create_table(
        "payout_state",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_payout_state_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_state")),
    )
    op.create_table(
        "payout_wallets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_wallets")),
    )
    op.create_index("ix_payout_wallets_member", "payout_wallets", ["member_id", "effective_at", "id"], unique=False)
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
        "prices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("usd_e8", sa.BigInteger(), nullable=True, comment="null: no price is known from then on"),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prices")),
    )
    op.create_index("ix_prices_valid_from", "prices", ["valid_from", "id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("client_fee_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_client_fee_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_transaction", "refunds", ["transaction_id"], unique=False)
    op.create_table(
        "reward_steps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reward_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reward_steps")),
    )
    op.create_index("ix_reward_steps_reward", "reward_steps", ["reward_id", "id"], unique=False)
    op.create_table(
        "rewards",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "source_kind", sa.Text(), nullable=False, comment="transaction, grant or screening; forged once found out"
        ),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False, comment="client, talent or none"),
        sa.Column("kind", sa.Text(), nullable=False, comment="connector, screening or grant"),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "earned_wei",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="by the formula at accrual, before any refund",
        ),
        sa.Column("amount_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("offset_wei", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
        sa.Column("minted_wei", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
        sa.Column("clawed_back_wei", sa.Numeric(precision=78, scale=0), server_default="0", nullable=False),
        sa.Column("price_usd_e8", sa.BigInteger(), nullable=True),
        sa.Column("price_window", sa.Text(), nullable=True),
        sa.Column("price_source", sa.Text(), nullable=True),
        sa.Column("parameters_version", sa.BigInteger(), nullable=True),
        sa.Column("is_verified", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("hold_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "check_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a held reward is worth another look; null: something must happen first",
        ),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settlement_id", sa.Uuid(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("payout_address", sa.Text(), nullable=True),
        sa.Column("chain_tx_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("minted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status <> 'held' OR reason IS NOT NULL", name=op.f("ck_rewards_held")),
        sa.CheckConstraint("(seq IS NULL) = (settlement_id IS NULL)", name=op.f("ck_rewards_numbered")),
        sa.CheckConstraint("amount_wei >= 0 AND offset_wei >= 0 AND minted_wei >= 0", name=op.f("ck_rewards_amounts")),
        sa.CheckConstraint("offset_wei <= amount_wei", name=op.f("ck_rewards_offset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rewards")),
        sa.UniqueConstraint("seq", name=op.f("uq_rewards_seq")),
        sa.UniqueConstraint("source_kind", "source_id", "side", "kind", name="uq_rewards_source"),
    )
    op.create_index("ix_rewards_beneficiary", "rewards", ["beneficiary_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_rewards_check",
        "rewards",
        ["check_at", "id"],
        unique=False,
        postgresql_where=sa.text("check_at IS NOT NULL"),
    )
    op.create_index(
        "ix_rewards_payable",
        "rewards",
        ["queued_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND settlement_id IS NULL"),
    )
    op.create_index("ix_rewards_settlement", "rewards", ["settlement_id", "seq"], unique=False)
    op.create_index("ix_rewards_transaction", "rewards", ["transaction_id"], unique=False)
    op.create_table(
        "settled_logs",
        sa.Column("first_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reward_count", sa.Integer(), nullable=False),
        sa.Column("sum_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("leaves_root", sa.LargeBinary(), nullable=False),
        sa.Column("chain_tx_hash", sa.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("first_id", name=op.f("pk_settled_logs")),
    )
    op.create_index(
        "ix_settled_logs_block", "settled_logs", ["block_number"], unique=False, postgresql_include=["sum_wei"]
    )
    op.create_table(
        "settlements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("reward_count", sa.Integer(), nullable=False),
        sa.Column("sum_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("leaves_root", sa.LargeBinary(), nullable=False),
        sa.Column("minter", sa.Text(), nullable=False),
        sa.Column("epoch_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="reserved, included, minted, failed or freed"),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("chain_tx_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
    )
    op.create_index(
        "ix_settlements_open",
        "settlements",
        ["first_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('reserved', 'included', 'failed')"),
    )
    op.create_index(
        "uq_settlements_first_id",
        "settlements",
        ["first_id"],
        unique=True,
        postgresql_where=sa.text("status != 'freed'"),
    )
    op.create_table(
        "transactions",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("engagement_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("client_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("talent_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("parameters_version", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, held, accrued or forged"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("verification", sa.Text(), nullable=False, comment="pending, verified, forged or not_needed"),
        sa.Column("verify_at", sa.DateTime(timezone=True), nullable=True, comment="when to ask the jobs service next"),
        sa.Column(
            "event",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the envelope it came in, for the dead-letter topic",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accrued_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("pk_transactions")),
    )
    op.create_index(
        "ix_transactions_client",
        "transactions",
        ["client_id"],
        unique=False,
        postgresql_where=sa.text("status != 'accrued'"),
    )
    op.create_index(
        "ix_transactions_talent",
        "transactions",
        ["talent_id"],
        unique=False,
        postgresql_where=sa.text("status != 'accrued'"),
    )
    op.create_index(
        "ix_transactions_verify",
        "transactions",
        ["verify_at"],
        unique=False,
        postgresql_where=sa.text("verify_at IS NOT NULL"),
    )
    op.create_index(
        "ix_transactions_waiting",
        "transactions",
        ["recorded_at"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
    )
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
        sa.Column("gas_price_wei", sa.Numeric(precision=78, scale=0), nullable=True),
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
        "chain_attempts",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("max_fee_per_gas_wei", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("max_priority_fee_per_gas_wei", sa.Numeric(precision=78, scale=0), nullable=False),
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
    for statement in LEDGER_RULES:
        op.execute(statement)


def downgrade() -> None:  # noqa: PLR0915
    """Back to the one before."""
    op.execute("DROP FUNCTION ledger_append_only() CASCADE")
    op.execute("DROP FUNCTION ledger_balanced() CASCADE")
    op.drop_table("chain_attempts")
    op.drop_index("ix_chain_intents_unsettled", table_name="chain_intents", postgresql_where=sa.text("NOT is_settled"))
    op.drop_index("ix_chain_intents_reference", table_name="chain_intents")
    op.drop_table("chain_intents")
    op.drop_table("chain_blocks")
    op.drop_index("ix_transactions_waiting", table_name="transactions", postgresql_where=sa.text("status = 'waiting'"))
    op.drop_index(
        "ix_transactions_verify", table_name="transactions", postgresql_where=sa.text("verify_at IS NOT NULL")
    )
    op.drop_index("ix_transactions_talent", table_name="transactions", postgresql_where=sa.text("status != 'accrued'"))
    op.drop_index("ix_transactions_client", table_name="transactions", postgresql_where=sa.text("status != 'accrued'"))
    op.drop_table("transactions")
    op.drop_index("uq_settlements_first_id", table_name="settlements", postgresql_where=sa.text("status != 'freed'"))
    op.drop_index(
        "ix_settlements_open",
        table_name="settlements",
        postgresql_where=sa.text("status IN ('reserved', 'included', 'failed')"),
    )
    op.drop_table("settlements")
    op.drop_index("ix_settled_logs_block", table_name="settled_logs", postgresql_include=["sum_wei"])
    op.drop_table("settled_logs")
    op.drop_index("ix_rewards_transaction", table_name="rewards")
    op.drop_index("ix_rewards_settlement", table_name="rewards")
    op.drop_index(
        "ix_rewards_payable",
        table_name="rewards",
        postgresql_where=sa.text("status = 'queued' AND settlement_id IS NULL"),
    )
    op.drop_index("ix_rewards_check", table_name="rewards", postgresql_where=sa.text("check_at IS NOT NULL"))
    op.drop_index("ix_rewards_beneficiary", table_name="rewards")
    op.drop_table("rewards")
    op.drop_index("ix_reward_steps_reward", table_name="reward_steps")
    op.drop_table("reward_steps")
    op.drop_index("ix_refunds_transaction", table_name="refunds")
    op.drop_table("refunds")
    op.drop_index("ix_prices_valid_from", table_name="prices")
    op.drop_table("prices")
    op.drop_table("positions")
    op.drop_index("ix_payout_wallets_member", table_name="payout_wallets")
    op.drop_table("payout_wallets")
    op.drop_table("payout_state")
    op.drop_index(
        "ix_parties_needed", table_name="parties", postgresql_where=sa.text("needed_since IS NOT NULL AND NOT is_known")
    )
    op.drop_table("parties")
    op.drop_index("ix_parked_key", table_name="parked")
    op.drop_table("parked")
    op.drop_table("parameter_versions")
    op.drop_table("outbox_sequence")
    op.drop_index("ix_outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_table("outbox")
    op.drop_index("ix_ledger_postings_shown", table_name="ledger_postings", postgresql_where="is_shown")
    op.drop_index("ix_ledger_postings_reward", table_name="ledger_postings")
    op.drop_index(
        "ix_ledger_postings_minted",
        table_name="ledger_postings",
        postgresql_include=["amount_wei"],
        postgresql_where=sa.text("account = 'minted'"),
    )
    op.drop_table("ledger_postings")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("epochs")
    op.drop_table("chain_pins")
    op.drop_table("chain_lanes")
    op.drop_table("chain_figures")
    op.drop_table("chain_cursors")
