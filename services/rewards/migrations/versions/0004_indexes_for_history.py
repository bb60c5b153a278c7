"""Indexes for the questions whose cost grew with history."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_rewards_unnumbered",
        "rewards",
        ["beneficiary_id"],
        postgresql_where=sa.text("settlement_id IS NULL"),
    )
    op.create_index(
        "ix_settlements_minted",
        "settlements",
        ["created_at"],
        postgresql_include=["sum_wei"],
        postgresql_where=sa.text("status = 'minted'"),
    )
    op.create_index("ix_chain_intents_mined", "chain_intents", ["lane", "mined_at"])


def downgrade() -> None:
    op.drop_index("ix_chain_intents_mined", table_name="chain_intents")
    op.drop_index("ix_settlements_minted", table_name="settlements")
    op.drop_index("ix_rewards_unnumbered", table_name="rewards")
