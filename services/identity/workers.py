"""Background work of identity: signing keys, the first administrator, forgetting; and its own token source."""

import asyncio
from typing import Any

from chassis.context import Context
from chassis.db import Database
from chassis.telemetry import log
from services.identity.domain.passwords import PASSWORD_MAX, PASSWORD_MIN, hash_password
from services.identity.domain.tokens import jwks, rules_of
from services.identity.schemas import RevocationRead
from services.identity.service import feed, keys, members, sessions
from services.identity.settings import IdentitySettings


async def rotate_keys(context: Context) -> bool:
    """Make the keys that are missing, delete those that have retired."""
    async with context.database.unit_of_work() as session:
        await keys.ensure_keys(session, rules=rules_of(context.settings))
    return False


async def ensure_admin(context: Context) -> bool:
    """Register the first administrator if the settings name one who is no member yet.

    Raises: ValueError when the settings cannot be an administrator's.
    """
    settings: IdentitySettings = context.settings
    password = settings.admin_password.get_secret_value()
    if not settings.admin_email:
        return False
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise ValueError(f"IDENTITY_ADMIN_PASSWORD must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    async with context.database.unit_of_work() as session:
        if await members.is_member(session, email=settings.admin_email):
            return False
    password_hash = await asyncio.to_thread(hash_password, password)
    async with context.database.unit_of_work() as session:
        member = await members.ensure_admin(
            session, email=settings.admin_email, password_hash=password_hash, display_name="Administrator"
        )
    if member is not None:
        log.info("first_admin_registered", member_id=str(member.id))
    return False


async def forget_old(context: Context) -> bool:
    """Delete expired sessions and challenges, and old entries of the revocation feed."""
    async with context.database.unit_of_work() as session:
        return await sessions.forget_old(session)


async def forget_feed(context: Context) -> bool:
    """Delete entries of feeds that are no longer kept."""
    async with context.database.unit_of_work() as session:
        return await feed.forget_old(session, keep_seconds=context.settings.feed_keep_seconds)


class OwnTokenSource:
    """Keys and revocations from identity's own tables: it need not ask itself over the network."""

    def __init__(self, database: Database, settings: IdentitySettings) -> None:
        self._database = database
        self._rules = rules_of(settings)

    async def keys(self) -> dict[str, Any]:
        """The JWKS document."""
        async with self._database.unit_of_work() as session:
            return jwks(await keys.published_keys(session, rules=self._rules))

    async def revocations(self, after: str | None) -> dict[str, Any]:
        """A page of the feed, as the internal API gives it."""
        async with self._database.unit_of_work() as session:
            rows, cursor = await sessions.list_revocations(session, after=int(after or 0))
        items = [RevocationRead.model_validate(row).model_dump(mode="json") for row in rows]
        return {"items": items, "next": str(cursor)}
