"""Refunds take effect once the jobs service has confirmed them; those taken so far count as confirmed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TOTALS_SO_FAR = """
    UPDATE transactions SET refunded_cents = told.cents, fee_refunded_cents = told.fee_cents
    FROM (
        SELECT transaction_id, max(total_refunded_cents) AS cents, max(total_client_fee_refunded_cents) AS fee_cents
        FROM refunds GROUP BY transaction_id
    ) AS told
    WHERE told.transaction_id = transactions.transaction_id
"""


def upgrade() -> None:
    for name in ("refunded_cents", "fee_refunded_cents"):
        op.add_column("transactions", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.execute(TOTALS_SO_FAR)
    op.add_column(
        "refunds",
        sa.Column(
            "verification",
            sa.Text(),
            server_default="verified",
            nullable=False,
            comment="pending, verified or forged",
        ),
    )
    op.add_column(
        "refunds",
        sa.Column("verify_at", sa.DateTime(timezone=True), nullable=True, comment="when to ask the jobs service next"),
    )
    op.add_column(
        "refunds",
        sa.Column(
            "event",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="the envelope it came in, for the dead-letter topic",
        ),
    )
    for name in ("verification", "event"):
        op.alter_column("refunds", name, server_default=None)
    op.drop_index("ix_refunds_transaction", table_name="refunds")
    op.drop_constraint("pk_refunds", "refunds")
    op.create_primary_key("pk_refunds", "refunds", ["transaction_id", "refund_id"])
    op.create_index("ix_refunds_verify", "refunds", ["verify_at"], postgresql_where=sa.text("verify_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_refunds_verify", table_name="refunds", postgresql_where=sa.text("verify_at IS NOT NULL"))
    op.execute("DELETE FROM refunds WHERE verification <> 'verified'")
    op.drop_constraint("pk_refunds", "refunds")
    op.create_primary_key("pk_refunds", "refunds", ["refund_id"])
    op.create_index("ix_refunds_transaction", "refunds", ["transaction_id"], unique=False)
    for name in ("event", "verify_at", "verification"):
        op.drop_column("refunds", name)
    for name in ("fee_refunded_cents", "refunded_cents"):
        op.drop_column("transactions", name)
