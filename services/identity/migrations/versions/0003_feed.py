"""The feed of each member: the events that concern them, numbered without a gap."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "feed_heads",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False, comment="of the newest entry"),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_feed_heads")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "feed_entries",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3 … for each member, no gap"
        ),
        sa.Column(
            "mark", sa.Text(), nullable=False, comment="of the event, so that a place is known to be what it was"
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False, comment="what the member sees, as JSON"),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("member_id", "seq", name=op.f("pk_feed_entries")),
    )
    op.create_index("ix_feed_entries_recorded_at", "feed_entries", ["recorded_at"], unique=False)


def downgrade() -> None:
    op.drop_table("feed_entries")
    op.drop_table("feed_heads")
