"""Sessions, refresh tokens, and the feed of what was revoked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update

from chassis.db import Session
from services.identity.models import refresh_tokens, revocations, sessions


async def insert_session(
    session: Session, *, session_id: UUID, member_id: UUID, created_at: datetime, expires_at: datetime
) -> None:
    """Open a session of the member."""
    await session.execute(
        insert(sessions).values(id=session_id, member_id=member_id, created_at=created_at, expires_at=expires_at)
    )


async def insert_refresh_token(session: Session, *, token_hash: bytes, session_id: UUID, created_at: datetime) -> None:
    """Add a refresh token to the session's family."""
    await session.execute(
        insert(refresh_tokens).values(token_hash=token_hash, session_id=session_id, created_at=created_at)
    )


async def find_session(session: Session, session_id: UUID) -> Row[Any] | None:
    """The session."""
    return (await session.execute(select(sessions).where(sessions.c.id == session_id))).one_or_none()


async def find_session_of_token(session: Session, token_hash: bytes) -> Row[Any] | None:
    """The session whose family the refresh token belongs to."""
    statement = (
        select(sessions)
        .join(refresh_tokens, refresh_tokens.c.session_id == sessions.c.id)
        .where(refresh_tokens.c.token_hash == token_hash)
    )
    return (await session.execute(statement)).one_or_none()


async def lock_session(session: Session, session_id: UUID) -> Row[Any] | None:
    """The session, held against every other writer until the commit."""
    return (await session.execute(select(sessions).where(sessions.c.id == session_id).with_for_update())).one_or_none()


async def use_refresh_token(session: Session, token_hash: bytes, *, used_at: datetime) -> bool:
    """Mark the token as used; False when it was already."""
    statement = (
        update(refresh_tokens)
        .where(refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.used_at.is_(None))
        .values(used_at=used_at)
        .returning(refresh_tokens.c.token_hash)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def end_session(session: Session, session_id: UUID, *, ended_at: datetime) -> bool:
    """Mark the session as ended; False when it was already, or never was."""
    statement = (
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=ended_at)
        .returning(sessions.c.id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def end_sessions_of(session: Session, member_id: UUID, *, ended_at: datetime) -> list[UUID]:
    """Mark every open session of the member as ended; which ones."""
    statement = (
        update(sessions)
        .where(sessions.c.member_id == member_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > ended_at)
        .values(ended_at=ended_at)
        .returning(sessions.c.id)
    )
    return list((await session.execute(statement)).scalars())


async def delete_sessions_expired_before(session: Session, moment: datetime, *, limit: int) -> int:
    """Forget sessions that could last be refreshed before `moment`, and their tokens; how many."""
    old = (
        select(sessions.c.id)
        .where(sessions.c.expires_at < moment)
        .order_by(sessions.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.execute(delete(sessions).where(sessions.c.id.in_(old)))).rowcount


async def insert_revocations(session: Session, entries: Sequence[tuple[str, UUID]], *, at: datetime) -> None:
    """Append (kind, subject) entries to the feed.

    The lock, held until the commit, makes the order of ids the order of commits: a reader that has seen an id
    has seen all below it.
    """
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("identity revocations"))))
    await session.execute(
        insert(revocations), [{"kind": kind, "subject_id": subject, "at": at} for kind, subject in entries]
    )


async def list_revocations(session: Session, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """The feed after the entry `after`, oldest first."""
    statement = select(revocations).where(revocations.c.id > after).order_by(revocations.c.id).limit(limit)
    return (await session.execute(statement)).all()


async def delete_session_revocations_before(session: Session, moment: datetime) -> int:
    """Drop the entries of sessions that ended before `moment`; how many."""
    statement = delete(revocations).where(revocations.c.kind == "session", revocations.c.at < moment)
    return (await session.execute(statement)).rowcount
