"""What is left to pay rewards of is a figure of its own.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("chain_figures", sa.Column("remaining_wei", sa.Numeric(precision=78, scale=0)))
    op.execute("UPDATE chain_figures SET remaining_wei = cap_wei - total_supply_wei")
    op.alter_column("chain_figures", "remaining_wei", nullable=False)


def downgrade() -> None:
    op.drop_column("chain_figures", "remaining_wei")
