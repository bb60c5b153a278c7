"""Use cases of sessions: they open, are refreshed, end; and the feed of what was revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import NotFound
from chassis.ids import new_id
from chassis.outbox import publish
from events.identity import SessionEnded
from services.identity.domain.members import parse_email
from services.identity.domain.tokens import TokenRules, new_refresh_token, refresh_token_hash, sign_access_token
from services.identity.domain.wallets import check_challenge
from services.identity.errors import (
    ChallengeInvalid,
    CredentialsInvalid,
    InvalidEmail,
    RefreshTokenInvalid,
    SuspendedMember,
    WalletUnknown,
)
from services.identity.repository import members as members_repository
from services.identity.repository import sessions as repository
from services.identity.repository import wallets as wallets_repository
from services.identity.service.keys import signing_key

REVOCATIONS_KEPT = timedelta(minutes=20)
"""How long the end of a session stays on the feed: longer than its last access token lives."""

SESSIONS_KEPT = timedelta(days=1)
FEED_PAGE = 5_000
DELETE_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session with fresh tokens."""

    id: UUID
    member_id: UUID
    access_token: str
    expires_in: int
    refresh_token: str
    created_at: datetime
    expires_at: datetime
    """When the session can no longer be refreshed."""

    status: str = "active"


async def find_credentials(session: Session, *, email: str) -> Row[Any] | None:
    """Id and password hash of the member with this address, None when there is none."""
    try:
        folded = parse_email(email).folded
    except InvalidEmail:
        return None
    return await members_repository.find_credentials(session, folded=folded)


async def open_session(session: Session, *, member_id: UUID, password_hash: str, rules: TokenRules) -> OpenSession:
    """A new session of the member, whose password was just compared with `password_hash`.

    Raises: CredentialsInvalid when the password has changed since; SuspendedMember.
    """
    member = await members_repository.share_member(session, member_id)
    if member is None or member.password_hash != password_hash:
        raise CredentialsInvalid
    return await _open(session, member, rules)


async def open_wallet_session(session: Session, *, message: str, signer: str, rules: TokenRules) -> OpenSession:
    """A new session of the member who linked `signer`, which signed `message`; the message is used up.

    Raises: ChallengeInvalid, WalletUnknown, SuspendedMember. Source: EIP-4361.
    """
    now = utc_now()
    challenge = check_challenge(
        await wallets_repository.find_challenge_of(session, message),
        signer=signer,
        purpose="sign_in",
        member_id=None,
        now=now,
    )
    if not await wallets_repository.consume_challenge(session, challenge.id, consumed_at=now):
        raise ChallengeInvalid("This message was used before")
    wallet = await wallets_repository.find_wallet(session, signer)
    member = await members_repository.share_member(session, wallet.member_id) if wallet else None
    if member is None:
        raise WalletUnknown("No member has linked this wallet; log in with your password and link it")
    return await _open(session, member, rules)


async def _open(session: Session, member: Row[Any], rules: TokenRules) -> OpenSession:
    if member.status != "active":
        raise SuspendedMember
    now = utc_now()
    session_id, expires_at = new_id(), now + timedelta(seconds=rules.session_seconds)
    await repository.insert_session(
        session, session_id=session_id, member_id=member.id, created_at=now, expires_at=expires_at
    )
    return await _with_tokens(
        session, member, session_id=session_id, created_at=now, expires_at=expires_at, rules=rules
    )


async def _with_tokens(
    session: Session,
    member: Row[Any],
    *,
    session_id: UUID,
    created_at: datetime,
    expires_at: datetime,
    rules: TokenRules,
) -> OpenSession:
    now = utc_now()
    refresh_token = new_refresh_token()
    await repository.insert_refresh_token(
        session, token_hash=refresh_token_hash(refresh_token), session_id=session_id, created_at=now
    )
    key = await signing_key(session, rules=rules, now=now)
    access_token = sign_access_token(
        key=key, rules=rules, member_id=member.id, session_id=session_id, roles=member.roles, now=now
    )
    return OpenSession(session_id, member.id, access_token, rules.access_seconds, refresh_token, created_at, expires_at)


async def refresh_session(session: Session, *, refresh_token: str, rules: TokenRules) -> OpenSession | None:
    """The session with new tokens; the refresh token is used up.

    None when it was used before: the session has been ended, since one of its two holders is a thief. The caller
    must commit that and refuse.

    Raises: RefreshTokenInvalid when the token is unknown, or its session is over.
    Source: RFC 9700 section 4.14.2 (refresh token rotation).
    """
    now = utc_now()
    token_hash = refresh_token_hash(refresh_token)
    found = await repository.find_session_of_token(session, token_hash)
    # the member is held before the session, in the order in which a suspension takes them
    member = await members_repository.share_member(session, found.member_id) if found else None
    held = await repository.lock_session(session, found.id) if found else None
    if member is None or held is None or held.ended_at is not None or held.expires_at <= now:
        raise RefreshTokenInvalid
    if member.status != "active":
        raise RefreshTokenInvalid
    if not await repository.use_refresh_token(session, token_hash, used_at=now):
        await end_session(session, session_id=held.id, member_id=held.member_id)
        return None
    return await _with_tokens(
        session, member, session_id=held.id, created_at=held.created_at, expires_at=held.expires_at, rules=rules
    )


async def get_session(session: Session, *, session_id: UUID) -> Row[Any]:
    """The session. Raises: NotFound when it has ended or never was."""
    found = await repository.find_session(session, session_id)
    if found is None or found.ended_at is not None:
        raise NotFound("The session has ended")
    return found


async def end_session(session: Session, *, session_id: UUID, member_id: UUID) -> None:
    """End the session: its tokens stop working everywhere within seconds. Ending it again changes nothing."""
    now = utc_now()
    if not await repository.end_session(session, session_id, ended_at=now):
        return
    await repository.insert_revocations(session, [("session", session_id)], at=now)
    publish(session, SessionEnded(member_id=member_id, sid=session_id, ended_at=now))


async def end_all_sessions(
    session: Session, *, member_id: UUID, also: Sequence[tuple[str, UUID]] = (), now: datetime
) -> None:
    """End every session of the member, and put the entries of `also` on the feed with them."""
    ended = await repository.end_sessions_of(session, member_id, ended_at=now)
    entries = [*also, *(("session", session_id) for session_id in ended)]
    if entries:
        await repository.insert_revocations(session, entries, at=now)
    for session_id in ended:
        publish(session, SessionEnded(member_id=member_id, sid=session_id, ended_at=now))


async def list_revocations(session: Session, *, after: int) -> tuple[Sequence[Row[Any]], int]:
    """A page of the feed after the cursor, oldest first, and the cursor behind it."""
    rows = await repository.list_revocations(session, after=after, limit=FEED_PAGE)
    return rows, rows[-1].id if rows else after


async def forget_old(session: Session) -> bool:
    """Delete what nobody can use any more; True when there may be more of it."""
    now = utc_now()
    await repository.delete_session_revocations_before(session, now - REVOCATIONS_KEPT)
    gone = await repository.delete_sessions_expired_before(session, now - SESSIONS_KEPT, limit=DELETE_BATCH)
    challenges = await wallets_repository.delete_challenges_expired_before(
        session, now - SESSIONS_KEPT, limit=DELETE_BATCH
    )
    return DELETE_BATCH in {gone, challenges}
