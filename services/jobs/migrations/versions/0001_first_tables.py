"""The first tables of jobs, and the chassis' own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """To this revision."""
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
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="rises with each change; what the ETag is made of"),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("skills", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rate_min_cents", sa.BigInteger(), nullable=False),
        sa.Column("rate_max_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('hourly', 'fixed')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint("status IN ('draft', 'open', 'closed')", name=op.f("ck_jobs_status")),
        sa.CheckConstraint("0 < rate_min_cents AND rate_min_cents <= rate_max_cents", name=op.f("ck_jobs_rates")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_mine", "jobs", ["client_id", "created_at", "id"], unique=False)
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
        "parameters",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("client_fee_bps", sa.Integer(), nullable=False),
        sa.Column("connector_reward_bps", sa.Integer(), nullable=False),
        sa.Column("reward_hold_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_parameters")),
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
        "bids",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("rate_cents", sa.BigInteger(), nullable=False),
        sa.Column("cover_letter", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('placed', 'offered', 'accepted', 'withdrawn')", name=op.f("ck_bids_status")),
        sa.CheckConstraint("client_id <> talent_id", name=op.f("ck_bids_parties")),
        sa.CheckConstraint("rate_cents > 0", name=op.f("ck_bids_rate")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_bids_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bids")),
    )
    op.create_index("ix_bids_mine", "bids", ["talent_id", "created_at", "id"], unique=False)
    op.create_index("ix_bids_of_job", "bids", ["job_id", "created_at", "id"], unique=False)
    op.create_index(
        "uq_bids_one_per_talent",
        "bids",
        ["job_id", "talent_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'withdrawn'"),
    )
    op.create_table(
        "job_search",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rate_min_cents", sa.BigInteger(), nullable=False),
        sa.Column("rate_max_cents", sa.BigInteger(), nullable=False),
        sa.Column("skill_keys", postgresql.ARRAY(sa.Text()), nullable=False, comment="the job's skills, case-folded"),
        sa.Column("tsv", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_search_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_search")),
    )
    op.create_index("ix_job_search_newest", "job_search", ["opened_at", "job_id"], unique=False)
    op.create_index("ix_job_search_rate_max", "job_search", ["rate_max_cents", "job_id"], unique=False)
    op.create_index("ix_job_search_rate_min", "job_search", ["rate_min_cents", "job_id"], unique=False)
    op.create_index("ix_job_search_skill_keys", "job_search", ["skill_keys"], unique=False, postgresql_using="gin")
    op.create_index("ix_job_search_tsv", "job_search", ["tsv"], unique=False, postgresql_using="gin")
    op.create_table(
        "offers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bid_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("rate_cents", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("engagement_id", sa.Uuid(), nullable=True, comment="set when accepted"),
        sa.CheckConstraint("(status = 'accepted') = (engagement_id IS NOT NULL)", name=op.f("ck_offers_engagement")),
        sa.CheckConstraint("status IN ('open', 'accepted', 'declined', 'withdrawn')", name=op.f("ck_offers_status")),
        sa.CheckConstraint("rate_cents > 0", name=op.f("ck_offers_rate")),
        sa.ForeignKeyConstraint(["bid_id"], ["bids.id"], name=op.f("fk_offers_bid_id_bids")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_offers_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
    )
    op.create_index("ix_offers_client", "offers", ["client_id", "created_at", "id"], unique=False)
    op.create_index("ix_offers_of_bid", "offers", ["bid_id", "created_at", "id"], unique=False)
    op.create_index("ix_offers_talent", "offers", ["talent_id", "created_at", "id"], unique=False)
    op.create_index(
        "uq_offers_one_open",
        "offers",
        ["bid_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('open', 'accepted')"),
    )
    op.create_table(
        "engagements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("bid_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("rate_cents", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('active', 'ended')", name=op.f("ck_engagements_status")),
        sa.ForeignKeyConstraint(["bid_id"], ["bids.id"], name=op.f("fk_engagements_bid_id_bids")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_engagements_job_id_jobs")),
        sa.ForeignKeyConstraint(["offer_id"], ["offers.id"], name=op.f("fk_engagements_offer_id_offers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engagements")),
        sa.UniqueConstraint("bid_id", name=op.f("uq_engagements_bid_id")),
        sa.UniqueConstraint("offer_id", name=op.f("uq_engagements_offer_id")),
    )
    op.create_index("ix_engagements_client", "engagements", ["client_id", "created_at", "id"], unique=False)
    op.create_index("ix_engagements_talent", "engagements", ["talent_id", "created_at", "id"], unique=False)
    op.create_table(
        "invoices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("engagement_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("client_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("talent_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("parameters_version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was rejected"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True, comment="set when paid"),
        sa.CheckConstraint("(status = 'paid') = (transaction_id IS NOT NULL)", name=op.f("ck_invoices_paid")),
        sa.CheckConstraint("status IN ('submitted', 'approved', 'rejected', 'paid')", name=op.f("ck_invoices_status")),
        sa.CheckConstraint("amount_cents >= 100", name=op.f("ck_invoices_minimum")),
        sa.CheckConstraint("client_fee_cents >= 0 AND talent_fee_cents = 0", name=op.f("ck_invoices_fees")),
        sa.CheckConstraint("total_cents = amount_cents + client_fee_cents", name=op.f("ck_invoices_total")),
        sa.ForeignKeyConstraint(
            ["engagement_id"], ["engagements.id"], name=op.f("fk_invoices_engagement_id_engagements")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
    )
    op.create_index("ix_invoices_of_engagement", "invoices", ["engagement_id", "created_at", "id"], unique=False)
    op.create_table(
        "transactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("engagement_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("client_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("talent_fee_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("parameters_version", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("fee_numerator", sa.BigInteger(), nullable=False, comment="sum of refunded cents x bps given back"),
        sa.Column("total_client_fee_refunded_cents", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('completed', 'partially_refunded', 'refunded')", name=op.f("ck_transactions_status")
        ),
        sa.CheckConstraint(
            "total_client_fee_refunded_cents BETWEEN 0 AND client_fee_cents", name=op.f("ck_transactions_fee_refunded")
        ),
        sa.CheckConstraint("total_refunded_cents BETWEEN 0 AND amount_cents", name=op.f("ck_transactions_refunded")),
        sa.ForeignKeyConstraint(
            ["engagement_id"], ["engagements.id"], name=op.f("fk_transactions_engagement_id_engagements")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_transactions_invoice_id_invoices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sa.UniqueConstraint("invoice_id", name=op.f("uq_transactions_invoice_id")),
    )
    op.create_index("ix_transactions_client", "transactions", ["client_id", "created_at", "id"], unique=False)
    op.create_index("ix_transactions_talent", "transactions", ["talent_id", "created_at", "id"], unique=False)
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_payments_invoice_id_invoices")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_payments_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index("ix_payments_of_invoice", "payments", ["invoice_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("talent_id", sa.Uuid(), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("client_fee_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_client_fee_refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_cents > 0 AND client_fee_refunded_cents >= 0", name=op.f("ck_refunds_amounts")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_refunds_transaction_id_transactions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_of_transaction", "refunds", ["transaction_id", "created_at", "id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index("ix_refunds_of_transaction", table_name="refunds")
    op.drop_table("refunds")
    op.drop_index("ix_payments_of_invoice", table_name="payments")
    op.drop_table("payments")
    op.drop_index("ix_transactions_talent", table_name="transactions")
    op.drop_index("ix_transactions_client", table_name="transactions")
    op.drop_table("transactions")
    op.drop_index("ix_invoices_of_engagement", table_name="invoices")
    op.drop_table("invoices")
    op.drop_index("ix_engagements_talent", table_name="engagements")
    op.drop_index("ix_engagements_client", table_name="engagements")
    op.drop_table("engagements")
    op.drop_index("uq_offers_one_open", table_name="offers", postgresql_where=sa.text("status IN ('open', 'accepted')"))
    op.drop_index("ix_offers_talent", table_name="offers")
    op.drop_index("ix_offers_of_bid", table_name="offers")
    op.drop_index("ix_offers_client", table_name="offers")
    op.drop_table("offers")
    op.drop_index("ix_job_search_tsv", table_name="job_search", postgresql_using="gin")
    op.drop_index("ix_job_search_skill_keys", table_name="job_search", postgresql_using="gin")
    op.drop_index("ix_job_search_rate_min", table_name="job_search")
    op.drop_index("ix_job_search_rate_max", table_name="job_search")
    op.drop_index("ix_job_search_newest", table_name="job_search")
    op.drop_table("job_search")
    op.drop_index("uq_bids_one_per_talent", table_name="bids", postgresql_where=sa.text("status <> 'withdrawn'"))
    op.drop_index("ix_bids_of_job", table_name="bids")
    op.drop_index("ix_bids_mine", table_name="bids")
    op.drop_table("bids")
    op.drop_table("positions")
    op.drop_index("ix_parked_key", table_name="parked")
    op.drop_table("parked")
    op.drop_table("parameters")
    op.drop_table("outbox_sequence")
    op.drop_index("ix_outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_table("outbox")
    op.drop_index("ix_jobs_mine", table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
