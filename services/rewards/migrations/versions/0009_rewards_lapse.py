"""Rewards that wait for their beneficiary are looked at when they lapse.

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute(
        "UPDATE rewards SET check_at = LEAST(COALESCE(check_at, created_at + interval '365 days'),"
        " created_at + interval '365 days')"
        " WHERE status = 'held' AND settlement_id IS NULL AND reason IN ('no_payout_wallet', 'below_minimum')"
    )


def downgrade() -> None:
    """Nothing: to look once more does no harm."""
