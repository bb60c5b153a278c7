"""The tables of rewards: facts, rewards and their steps, the ledger, settlements, and what the chain says."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.chain.tables import Lane, chain_tables
from chassis.db import Moment, WeiColumn, new_metadata
from chassis.tables import attach_chassis_tables

metadata = new_metadata()
attach_chassis_tables(metadata)
chain = chain_tables(metadata)

LANE = Lane("settle", chain)
"""One key, one lane, one database: the nonces of all settlements."""

NOW = text("clock_timestamp()")

parties = Table(
    "parties",
    metadata,
    Column("member_id", Uuid, primary_key=True),
    Column("is_known", Boolean, nullable=False, server_default="false"),
    Column("is_unknown_to_identity", Boolean, nullable=False, server_default="false"),
    Column("connector_id", Uuid),
    Column("registered_at", Moment),
    Column("needed_since", Moment),
    Column("asked_at", Moment),
    Column("receivable_wei", WeiColumn, nullable=False, server_default="0"),
    CheckConstraint("receivable_wei >= 0", name="receivable"),
    CheckConstraint("NOT is_known OR registered_at IS NOT NULL", name="known"),
)
"""What is known of each member. Whoever brings or needs a fact of members locks their rows first, in id order.

`receivable_wei` is what refunds took back and no reserved reward has made good yet.
"""

Index(
    "ix_parties_needed",
    parties.c.needed_since,
    postgresql_where=parties.c.needed_since.isnot(None) & ~parties.c.is_known,
)

payout_wallets = Table(
    "payout_wallets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, nullable=False),
    Column("address", Text, nullable=False),
    Column("effective_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
)
"""Where each member is paid, from when on: a history, never changed."""

Index("ix_payout_wallets_member", payout_wallets.c.member_id, payout_wallets.c.effective_at, payout_wallets.c.id)

parameter_versions = Table(
    "parameter_versions",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("parameters", JSONB, nullable=False),
    Column("effective_at", Moment, nullable=False),
)
"""Every version of the network's parameters but version 0, which the code knows."""

prices = Table(
    "prices",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("valid_from", Moment, nullable=False),
    Column("usd_e8", BigInteger, comment="null: no price is known from then on"),
    Column("window", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
)
"""USD per BTRST × 10^8 from a moment on, or where to look from then on: a transaction is priced as of its own time,
however late it comes."""

Index("ix_prices_valid_from", prices.c.valid_from, prices.c.id)

price_observations = Table(
    "price_observations",
    metadata,
    Column("source", Text, primary_key=True),
    Column("observed_at", Moment, primary_key=True),
    Column("usd_e8", BigInteger, nullable=False),
    CheckConstraint("usd_e8 > 0", name="usd_e8"),
)
"""What each source of prices said, and when."""

price_hours = Table(
    "price_hours",
    metadata,
    Column("source", Text, primary_key=True),
    Column("hour", Moment, primary_key=True),
    Column("median_usd_e8", BigInteger, nullable=False),
)
"""The median of each hour's observations, so that an average over 30 days reads 720 rows."""

transactions = Table(
    "transactions",
    metadata,
    Column("transaction_id", Uuid, primary_key=True),
    Column("invoice_id", Uuid, nullable=False),
    Column("engagement_id", Uuid, nullable=False),
    Column("client_id", Uuid, nullable=False),
    Column("talent_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("client_fee_cents", BigInteger, nullable=False),
    Column("talent_fee_cents", BigInteger, nullable=False),
    Column("parameters_version", BigInteger, nullable=False),
    Column("completed_at", Moment, nullable=False),
    Column("refunded_cents", BigInteger, nullable=False, server_default="0"),
    Column("fee_refunded_cents", BigInteger, nullable=False, server_default="0"),
    Column("status", Text, nullable=False, comment="waiting, held, accrued or forged"),
    Column("reason", Text),
    Column("verification", Text, nullable=False, comment="pending, verified, forged or not_needed"),
    Column("verify_at", Moment, comment="when to ask the jobs service next"),
    Column("event", JSONB, nullable=False, comment="the envelope it came in, for the dead-letter topic"),
    Column("recorded_at", Moment, nullable=False),
    Column("accrued_at", Moment),
)
"""Completed transactions as recorded; what has gone back of them is only ever what the jobs service confirmed."""

Index(
    "ix_transactions_waiting",
    transactions.c.recorded_at,
    postgresql_where=transactions.c.status == "waiting",
)
Index("ix_transactions_client", transactions.c.client_id, postgresql_where=transactions.c.status != "accrued")
Index("ix_transactions_talent", transactions.c.talent_id, postgresql_where=transactions.c.status != "accrued")
Index(
    "ix_transactions_verify",
    transactions.c.verify_at,
    postgresql_where=transactions.c.verify_at.isnot(None),
)

refunds = Table(
    "refunds",
    metadata,
    Column("transaction_id", Uuid, primary_key=True),
    Column("refund_id", Uuid, primary_key=True),
    Column("refunded_cents", BigInteger, nullable=False),
    Column("total_refunded_cents", BigInteger, nullable=False),
    Column("client_fee_refunded_cents", BigInteger, nullable=False),
    Column("total_client_fee_refunded_cents", BigInteger, nullable=False),
    Column("refunded_at", Moment, nullable=False),
    Column("verification", Text, nullable=False, comment="pending, verified or forged"),
    Column("verify_at", Moment, comment="when to ask the jobs service next"),
    Column("event", JSONB, nullable=False, comment="the envelope it came in, for the dead-letter topic"),
    Column("recorded_at", Moment, nullable=False, server_default=NOW),
)
"""Refunds as told; one may be here before its transaction. None takes effect before the jobs service confirms it."""

Index("ix_refunds_verify", refunds.c.verify_at, postgresql_where=refunds.c.verify_at.isnot(None))

rewards = Table(
    "rewards",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_kind", Text, nullable=False, comment="transaction, grant or screening; forged once found out"),
    Column("source_id", Uuid, nullable=False),
    Column("side", Text, nullable=False, comment="client, talent or none"),
    Column("kind", Text, nullable=False, comment="connector, screening or grant"),
    Column("beneficiary_id", Uuid, nullable=False),
    Column("transaction_id", Uuid),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("earned_wei", WeiColumn, nullable=False, comment="by the formula at accrual, before any refund"),
    Column("amount_wei", WeiColumn, nullable=False),
    Column("offset_wei", WeiColumn, nullable=False, server_default="0"),
    Column("minted_wei", WeiColumn, nullable=False, server_default="0"),
    Column("clawed_back_wei", WeiColumn, nullable=False, server_default="0"),
    Column("price_usd_e8", BigInteger),
    Column("price_window", Text),
    Column("price_source", Text),
    Column("parameters_version", BigInteger),
    Column("is_verified", Boolean, nullable=False, server_default="false"),
    Column("hold_ends_at", Moment, nullable=False),
    Column("check_at", Moment, comment="when a held reward is worth another look; null: something must happen first"),
    Column("queued_at", Moment),
    Column("settlement_id", Uuid),
    Column("seq", BigInteger, unique=True),
    Column("payout_address", Text),
    Column("chain_tx_hash", Text),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("minted_at", Moment),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("source_kind", "source_id", "side", "kind", name="uq_rewards_source"),
    CheckConstraint("amount_wei >= 0 AND offset_wei >= 0 AND minted_wei >= 0", name="amounts"),
    CheckConstraint("offset_wei <= amount_wei", name="offset"),
    CheckConstraint("(seq IS NULL) = (settlement_id IS NULL)", name="numbered"),
    CheckConstraint("status <> 'held' OR reason IS NOT NULL", name="held"),
)
"""What members earned. At most one reward per source, side and kind."""

Index("ix_rewards_beneficiary", rewards.c.beneficiary_id, rewards.c.created_at, rewards.c.id)
Index("ix_rewards_transaction", rewards.c.transaction_id)
Index("ix_rewards_settlement", rewards.c.settlement_id, rewards.c.seq)
Index(
    "ix_rewards_payable",
    rewards.c.queued_at,
    rewards.c.id,
    postgresql_where=(rewards.c.status == "queued") & rewards.c.settlement_id.is_(None),
)
Index("ix_rewards_unnumbered", rewards.c.beneficiary_id, postgresql_where=rewards.c.settlement_id.is_(None))
Index("ix_rewards_check", rewards.c.check_at, rewards.c.id, postgresql_where=rewards.c.check_at.isnot(None))

reward_steps = Table(
    "reward_steps",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("reward_id", Uuid, nullable=False),
    Column("step", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("at", Moment, nullable=False),
)
"""Each step of each reward, for the trace."""

Index("ix_reward_steps_reward", reward_steps.c.reward_id, reward_steps.c.id)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("entry_id", Uuid, nullable=False),
    Column("code", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("asset", Text, nullable=False, server_default="BTRST"),
    Column("amount_wei", WeiColumn, nullable=False),
    Column("beneficiary_id", Uuid, nullable=False),
    Column("reward_id", Uuid, nullable=False),
    Column("transaction_id", Uuid),
    Column("block_number", BigInteger, comment="of a mint: the block of its chain tx"),
    Column("is_shown", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
)
"""The double-entry ledger, append-only: a trigger refuses everything but INSERT, and entries that do not sum to 0."""

Index(
    "ix_ledger_postings_shown",
    ledger_postings.c.beneficiary_id,
    ledger_postings.c.id,
    postgresql_where=ledger_postings.c.is_shown,
)
Index("ix_ledger_postings_reward", ledger_postings.c.reward_id)
Index(
    "ix_ledger_postings_minted",
    ledger_postings.c.block_number,
    postgresql_include=["amount_wei"],
    postgresql_where=ledger_postings.c.account == "minted",
)

settlements = Table(
    "settlements",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("first_id", BigInteger, nullable=False),
    Column("reward_count", Integer, nullable=False),
    Column("sum_wei", WeiColumn, nullable=False),
    Column("leaves_root", LargeBinary, nullable=False),
    Column("minter", Text, nullable=False),
    Column("epoch_start", Moment, nullable=False),
    Column("status", Text, nullable=False, comment="reserved, included, minted, failed or freed"),
    Column("failure_code", Text),
    Column("chain_tx_hash", Text),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("created_at", Moment, nullable=False),
)
"""Batches of rewards with their numbers, each paid by one chain tx."""

Index(
    "uq_settlements_first_id",
    settlements.c.first_id,
    unique=True,
    postgresql_where=settlements.c.status != "freed",
)
Index(
    "ix_settlements_open",
    settlements.c.first_id,
    postgresql_where=settlements.c.status.in_(("reserved", "included", "failed")),
)

Index(
    "ix_settlements_minted",
    settlements.c.created_at,
    postgresql_include=["sum_wei"],
    postgresql_where=settlements.c.status == "minted",
)

Index("ix_settlements_epoch", settlements.c.epoch_start, settlements.c.first_id)

settlement_leaves = Table(
    "settlement_leaves",
    metadata,
    Column("settlement_id", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("is_offset", Boolean, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)
"""The leaves under each settlement's root as they were reserved: if the row of a reward is altered, they tell which.
Settlements that were read back from the chain have them only if their offsets are known."""

payout_state = Table(
    "payout_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("problem", Text),
    CheckConstraint("id = 1", name="single"),
)
"""One row, locked by whoever numbers rewards: the next number, and why none is given (null: all is well)."""

epochs = Table(
    "epochs",
    metadata,
    Column("epoch_start", Moment, primary_key=True),
    Column("ends_at", Moment, nullable=False),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("charged_wei", WeiColumn, nullable=False),
)
"""What each emission epoch's budget was charged. Numbers are 1, 2, 3 … in the order of the first charge, so that they
stay unique when a vote changes how long an epoch is."""

settled_logs = Table(
    "settled_logs",
    metadata,
    Column("first_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reward_count", Integer, nullable=False),
    Column("sum_wei", WeiColumn, nullable=False),
    Column("leaves_root", LargeBinary, nullable=False),
    Column("chain_tx_hash", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
)
"""Every `Settled` log of our minter in final blocks: the chain's own account of what was minted."""

Index("ix_settled_logs_block", settled_logs.c.block_number, postgresql_include=["sum_wei"])

chain_figures = Table(
    "chain_figures",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("total_supply_wei", WeiColumn, nullable=False),
    Column("cap_wei", WeiColumn, nullable=False),
    Column("remaining_wei", WeiColumn, nullable=False),
    Column("onchain_minted_wei", WeiColumn, nullable=False),
    Column("ledger_minted_wei", WeiColumn, nullable=False),
    Column("as_of_block", BigInteger, nullable=False),
    Column("minted_month_wei", WeiColumn, nullable=False),
    Column("checked_at", Moment, nullable=False),
    CheckConstraint("id = 1", name="single"),
)
"""One row: the token's figures and the reconciliation, both at one final block."""
