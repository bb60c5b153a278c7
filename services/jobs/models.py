"""The tables of jobs. Parties' ids are repeated on every row, so that one query can ask "is it yours to see?"."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

from chassis.db import Moment, new_metadata
from chassis.tables import attach_chassis_tables
from services.jobs.domain.states import (
    BidStatus,
    EngagementStatus,
    InvoiceStatus,
    JobStatus,
    OfferStatus,
    TransactionStatus,
)

metadata = new_metadata()


def _id() -> list[sa.Column[object]]:
    return [sa.Column("id", sa.Uuid, primary_key=True), sa.Column("created_at", Moment, nullable=False)]


def _parties() -> list[sa.Column[object]]:
    return [sa.Column("client_id", sa.Uuid, nullable=False), sa.Column("talent_id", sa.Uuid, nullable=False)]


def _reference(table: str) -> sa.Column[object]:
    return sa.Column(f"{table[:-1]}_id", sa.Uuid, sa.ForeignKey(f"{table}.id"), nullable=False)


def _status(
    states: type[JobStatus | BidStatus | OfferStatus | EngagementStatus | InvoiceStatus | TransactionStatus],
) -> list[sa.schema.SchemaItem]:
    names = ", ".join(f"'{state}'" for state in states)
    return [sa.Column("status", sa.Text, nullable=False), sa.CheckConstraint(f"status IN ({names})", name="status")]


def _cents(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False)


jobs = sa.Table(
    "jobs",
    metadata,
    *_id(),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, comment="rises with each change; what the ETag is made of"),
    sa.Column("client_id", sa.Uuid, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("skills", ARRAY(sa.Text), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    _cents("rate_min_cents"),
    _cents("rate_max_cents"),
    sa.Column("currency", sa.Text, nullable=False),
    *_status(JobStatus),
    sa.Column("opened_at", Moment),
    sa.Column("closed_at", Moment),
    sa.CheckConstraint("0 < rate_min_cents AND rate_min_cents <= rate_max_cents", name="rates"),
    sa.CheckConstraint("kind IN ('hourly', 'fixed')", name="kind"),
)
sa.Index("ix_jobs_mine", jobs.c.client_id, jobs.c.created_at, jobs.c.id)

job_search = sa.Table(
    "job_search",
    metadata,
    sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    _cents("rate_min_cents"),
    _cents("rate_max_cents"),
    sa.Column("skill_keys", ARRAY(sa.Text), nullable=False, comment="the job's skills, case-folded"),
    sa.Column("tsv", TSVECTOR, nullable=False),
)
"""What a search looks at: the open jobs only, in rows narrow enough to be read by the thousand."""

sa.Index("ix_job_search_newest", job_search.c.opened_at, job_search.c.job_id)
sa.Index("ix_job_search_rate_min", job_search.c.rate_min_cents, job_search.c.job_id)
sa.Index("ix_job_search_rate_max", job_search.c.rate_max_cents, job_search.c.job_id)
sa.Index("ix_job_search_tsv", job_search.c.tsv, postgresql_using="gin")
sa.Index("ix_job_search_skill_keys", job_search.c.skill_keys, postgresql_using="gin")

bids = sa.Table(
    "bids",
    metadata,
    *_id(),
    _reference("jobs"),
    *_parties(),
    _cents("rate_cents"),
    sa.Column("cover_letter", sa.Text, nullable=False),
    *_status(BidStatus),
    sa.Column("withdrawn_at", Moment),
    sa.CheckConstraint("rate_cents > 0", name="rate"),
    sa.CheckConstraint("client_id <> talent_id", name="parties"),
)
sa.Index("ix_bids_of_job", bids.c.job_id, bids.c.created_at, bids.c.id)
sa.Index("ix_bids_mine", bids.c.talent_id, bids.c.created_at, bids.c.id)
sa.Index(
    "uq_bids_one_per_talent",
    bids.c.job_id,
    bids.c.talent_id,
    unique=True,
    postgresql_where=sa.text("status <> 'withdrawn'"),
)

offers = sa.Table(
    "offers",
    metadata,
    *_id(),
    _reference("bids"),
    _reference("jobs"),
    *_parties(),
    _cents("rate_cents"),
    sa.Column("message", sa.Text),
    *_status(OfferStatus),
    sa.Column("decided_at", Moment),
    sa.Column("engagement_id", sa.Uuid, comment="set when accepted"),
    sa.CheckConstraint("rate_cents > 0", name="rate"),
    sa.CheckConstraint("(status = 'accepted') = (engagement_id IS NOT NULL)", name="engagement"),
)
sa.Index("ix_offers_of_bid", offers.c.bid_id, offers.c.created_at, offers.c.id)
sa.Index("ix_offers_client", offers.c.client_id, offers.c.created_at, offers.c.id)
sa.Index("ix_offers_talent", offers.c.talent_id, offers.c.created_at, offers.c.id)
sa.Index("uq_offers_one_open", offers.c.bid_id, unique=True, postgresql_where=sa.text("status IN ('open', 'accepted')"))

engagements = sa.Table(
    "engagements",
    metadata,
    *_id(),
    _reference("jobs"),
    sa.Column("bid_id", sa.Uuid, sa.ForeignKey("bids.id"), nullable=False, unique=True),
    sa.Column("offer_id", sa.Uuid, sa.ForeignKey("offers.id"), nullable=False, unique=True),
    *_parties(),
    _cents("rate_cents"),
    *_status(EngagementStatus),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
)
sa.Index("ix_engagements_client", engagements.c.client_id, engagements.c.created_at, engagements.c.id)
sa.Index("ix_engagements_talent", engagements.c.talent_id, engagements.c.created_at, engagements.c.id)

invoices = sa.Table(
    "invoices",
    metadata,
    *_id(),
    _reference("engagements"),
    *_parties(),
    sa.Column("lines", JSONB, nullable=False),
    _cents("amount_cents"),
    _cents("client_fee_cents"),
    _cents("talent_fee_cents"),
    _cents("total_cents"),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("parameters_version", sa.BigInteger, nullable=False),
    *_status(InvoiceStatus),
    sa.Column("reason", sa.Text, comment="why it was rejected"),
    sa.Column("decided_at", Moment),
    sa.Column("transaction_id", sa.Uuid, comment="set when paid"),
    sa.CheckConstraint("amount_cents >= 100", name="minimum"),
    sa.CheckConstraint("client_fee_cents >= 0 AND talent_fee_cents = 0", name="fees"),
    sa.CheckConstraint("total_cents = amount_cents + client_fee_cents", name="total"),
    sa.CheckConstraint("(status = 'paid') = (transaction_id IS NOT NULL)", name="paid"),
)
sa.Index("ix_invoices_of_engagement", invoices.c.engagement_id, invoices.c.created_at, invoices.c.id)

transactions = sa.Table(
    "transactions",
    metadata,
    *_id(),
    sa.Column("invoice_id", sa.Uuid, sa.ForeignKey("invoices.id"), nullable=False, unique=True),
    _reference("engagements"),
    *_parties(),
    sa.Column("provider", sa.Text, nullable=False),
    _cents("amount_cents"),
    _cents("client_fee_cents"),
    _cents("talent_fee_cents"),
    _cents("total_cents"),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("parameters_version", sa.BigInteger, nullable=False),
    sa.Column("completed_at", Moment, nullable=False),
    *_status(TransactionStatus),
    _cents("total_refunded_cents"),
    sa.Column("fee_numerator", sa.BigInteger, nullable=False, comment="sum of refunded cents x bps given back"),
    _cents("total_client_fee_refunded_cents"),
    sa.CheckConstraint("total_refunded_cents BETWEEN 0 AND amount_cents", name="refunded"),
    sa.CheckConstraint("total_client_fee_refunded_cents BETWEEN 0 AND client_fee_cents", name="fee_refunded"),
)
sa.Index("ix_transactions_client", transactions.c.client_id, transactions.c.created_at, transactions.c.id)
sa.Index("ix_transactions_talent", transactions.c.talent_id, transactions.c.created_at, transactions.c.id)

payments = sa.Table(
    "payments",
    metadata,
    *_id(),
    _reference("invoices"),
    _reference("transactions"),
    *_parties(),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    _cents("total_cents"),
    sa.Column("currency", sa.Text, nullable=False),
)
sa.Index("ix_payments_of_invoice", payments.c.invoice_id)

refunds = sa.Table(
    "refunds",
    metadata,
    *_id(),
    _reference("transactions"),
    *_parties(),
    sa.Column("requested_by_id", sa.Uuid, nullable=False),
    _cents("amount_cents"),
    _cents("client_fee_refunded_cents"),
    _cents("total_refunded_cents"),
    _cents("total_client_fee_refunded_cents"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.CheckConstraint("amount_cents > 0 AND client_fee_refunded_cents >= 0", name="amounts"),
)
sa.Index("ix_refunds_of_transaction", refunds.c.transaction_id, refunds.c.created_at, refunds.c.id)

parameters = sa.Table(
    "parameters",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("effective_at", Moment, nullable=False),
    sa.Column("client_fee_bps", sa.Integer, nullable=False),
    sa.Column("connector_reward_bps", sa.Integer, nullable=False),
    sa.Column("reward_hold_seconds", sa.Integer, nullable=False),
)
"""Versions after the first: version 0 is known from the start, without a row."""

attach_chassis_tables(metadata)
