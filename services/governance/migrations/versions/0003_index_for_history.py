"""An index for the day's gas, whose sum read all of history."""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_chain_intents_mined", "chain_intents", ["lane", "mined_at"])


def downgrade() -> None:
    op.drop_index("ix_chain_intents_mined", table_name="chain_intents")
