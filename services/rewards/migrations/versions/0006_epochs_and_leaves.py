"""Epochs have numbers and ends; the leaves of a settlement are kept.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("epochs", sa.Column("ends_at", sa.DateTime(timezone=True)))
    op.add_column("epochs", sa.Column("number", sa.BigInteger()))
    # Until now every epoch had the 30 days of the first parameters: no vote has changed a network of this version.
    op.execute(
        "UPDATE epochs SET ends_at = epochs.epoch_start + interval '30 days', number = numbered.number FROM"
        " (SELECT epoch_start, row_number() OVER (ORDER BY epoch_start) AS number FROM epochs) AS numbered"
        " WHERE numbered.epoch_start = epochs.epoch_start"
    )
    op.alter_column("epochs", "ends_at", nullable=False)
    op.alter_column("epochs", "number", nullable=False)
    op.create_unique_constraint("uq_epochs_number", "epochs", ["number"])
    op.create_index("ix_settlements_epoch", "settlements", ["epoch_start", "first_id"])
    op.create_table(
        "settlement_leaves",
        sa.Column("settlement_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_offset", sa.Boolean(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id", "seq", "is_offset", name=op.f("pk_settlement_leaves")),
    )


def downgrade() -> None:
    op.drop_table("settlement_leaves")
    op.drop_index("ix_settlements_epoch", table_name="settlements")
    op.drop_constraint("uq_epochs_number", "epochs")
    op.drop_column("epochs", "number")
    op.drop_column("epochs", "ends_at")
