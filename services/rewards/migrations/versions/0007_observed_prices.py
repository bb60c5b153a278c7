"""Prices that are observed.

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "price_observations",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("usd_e8", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("usd_e8 > 0", name=op.f("ck_price_observations_usd_e8")),
        sa.PrimaryKeyConstraint("source", "observed_at", name=op.f("pk_price_observations")),
    )
    op.create_table(
        "price_hours",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("median_usd_e8", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "hour", name=op.f("pk_price_hours")),
    )


def downgrade() -> None:
    op.drop_table("price_hours")
    op.drop_table("price_observations")
