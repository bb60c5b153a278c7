"""Signing keys."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from chassis.db import Session
from services.identity.domain.tokens import SigningKey
from services.identity.models import signing_keys


async def list_keys(session: Session) -> list[SigningKey]:
    """All keys, in the order of their turns."""
    columns = (signing_keys.c.kid, signing_keys.c.public, signing_keys.c.sealed, signing_keys.c.signs_from)
    rows = await session.execute(select(*columns).order_by(signing_keys.c.signs_from, signing_keys.c.kid))
    return [SigningKey(**row._mapping) for row in rows]


async def lock_keys(session: Session) -> list[SigningKey]:
    """All keys, while nobody else changes which there are."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("identity signing keys"))))
    return await list_keys(session)


async def insert_key(session: Session, key: SigningKey, *, created_at: datetime) -> None:
    """Store a new key."""
    await session.execute(
        insert(signing_keys).values(
            kid=key.kid, public=key.public, sealed=key.sealed, signs_from=key.signs_from, created_at=created_at
        )
    )


async def delete_keys(session: Session, kids: Sequence[str]) -> None:
    """Forget these keys."""
    await session.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
