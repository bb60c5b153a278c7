"""The tables of identity."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.db import Moment, new_metadata
from chassis.tables import attach_chassis_tables

metadata = new_metadata()

members = Table(
    "members",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, comment="as its owner wrote it"),
    Column("email_folded", Text, nullable=False, unique=True),
    Column("email_normalized", Text, nullable=False, comment="folded, without +tag: one person's addresses"),
    Column("password_hash", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("referral_code", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="counts changes, for ETag"),
    Column("created_at", Moment, nullable=False),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
    CheckConstraint("roles <@ ARRAY['client', 'talent', 'connector', 'screener', 'admin']", name="roles"),
)

referrals = Table(
    "referrals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, ForeignKey("members.id"), nullable=False, unique=True, comment="who was referred"),
    Column("connector_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("attributed_at", Moment, nullable=False),
    CheckConstraint("member_id <> connector_id", name="not_self"),
)
"""Who brought whom. A trigger refuses updates and deletes: attribution is set once."""

Index("ix_referrals_connector", referrals.c.connector_id, referrals.c.id)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("ended_at", Moment),
)

Index("ix_sessions_live", sessions.c.member_id, postgresql_where=sessions.c.ended_at.is_(None))
Index("ix_sessions_expires_at", sessions.c.expires_at)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment),
)
"""Used ones are kept as long as the session: their second use is how a theft shows."""

wallet_challenges = Table(
    "wallet_challenges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the text to sign"),
    Column("message", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("member_id", Uuid, ForeignKey("members.id"), comment="who asked to link; null for sign_in"),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("consumed_at", Moment),
    CheckConstraint("(purpose = 'link') = (member_id IS NOT NULL)", name="purpose"),
    CheckConstraint("purpose IN ('sign_in', 'link')", name="purpose_name"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("address", Text, nullable=False, unique=True, comment="EIP-55"),
    Column("created_at", Moment, nullable=False),
)

Index("ix_wallets_member", wallets.c.member_id, wallets.c.id)

payout_wallets = Table(
    "payout_wallets",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("choice_id", Uuid, nullable=False, unique=True, comment="the id shown outside"),
    Column("member_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("address", Text, ForeignKey("wallets.address"), nullable=False),
    Column("effective_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("withdrawn_at", Moment, comment="replaced before it took effect"),
)
"""Every choice of a payout wallet, in order; what pays is the newest that is in effect and not withdrawn."""

Index("ix_payout_wallets_member", payout_wallets.c.member_id, payout_wallets.c.id)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True, comment="RFC 7638 thumbprint"),
    Column("public", JSONB, nullable=False),
    Column("sealed", Text, nullable=False, comment="the private JWK as a JWE"),
    Column("signs_from", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("at", Moment, nullable=False),
    CheckConstraint("kind IN ('session', 'member', 'reinstated')", name="kind"),
)
"""What stops working, in the order of commits: ended sessions, suspended and reinstated members."""

Index("ix_revocations_sessions", revocations.c.at, postgresql_where=revocations.c.kind == "session")

feed_heads = Table(
    "feed_heads",
    metadata,
    Column("member_id", Uuid, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("mark", Text, nullable=False, comment="of the newest entry"),
    postgresql_with={"fillfactor": "70"},
)
"""How many entries each member's feed has had. Its row lock makes the order of commits the order of numbers."""

feed_entries = Table(
    "feed_entries",
    metadata,
    Column("member_id", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 … for each member, no gap"),
    Column("mark", Text, nullable=False, comment="of the event, so that a place is known to be what it was"),
    Column("type", Text, nullable=False),
    Column("line", Text, nullable=False, comment="what the member sees, as JSON"),
    Column("recorded_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
)
"""The events that concern each member, for the time they are kept."""

Index("ix_feed_entries_recorded_at", feed_entries.c.recorded_at)

attach_chassis_tables(metadata)
