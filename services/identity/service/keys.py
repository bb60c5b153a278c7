"""Use cases of the keys that sign access tokens: there is always one that signs and one that is known ahead."""

from datetime import datetime

from chassis.clock import utc_now
from chassis.db import Session
from services.identity.domain.tokens import (
    SigningKey,
    TokenRules,
    current_key,
    keys_to_add,
    new_key,
    open_key,
    retired_kids,
)
from services.identity.repository import keys as repository


async def ensure_keys(session: Session, *, rules: TokenRules) -> list[SigningKey]:
    """The live keys, after missing ones were made and those that retired long enough ago were deleted.

    Raises: ValueError when the secret does not open the key that signs.
    """
    now = utc_now()
    keys = await repository.list_keys(session)
    if keys_to_add(keys, now=now, period_seconds=rules.rotation_seconds) or retired_kids(keys, now=now):
        keys = await _rotate(session, rules, now)
    for key in keys:
        open_key(key.sealed, rules.key_secret)
    return keys


async def _rotate(session: Session, rules: TokenRules, now: datetime) -> list[SigningKey]:
    keys = await repository.lock_keys(session)
    for turn in keys_to_add(keys, now=now, period_seconds=rules.rotation_seconds):
        key = new_key(secret=rules.key_secret, signs_from=turn)
        await repository.insert_key(session, key, created_at=now)
        keys.append(key)
    retired = retired_kids(keys, now=now)
    await repository.delete_keys(session, retired)
    return [key for key in keys if key.kid not in retired]


async def signing_key(session: Session, *, rules: TokenRules, now: datetime) -> SigningKey:
    """The key that signs now; made if there is none yet. Raises: ValueError as `ensure_keys`."""
    key = current_key(await repository.list_keys(session), now)
    if key is None:
        key = current_key(await ensure_keys(session, rules=rules), utc_now())
    assert key is not None, "ensure_keys leaves a key whose turn has begun"
    return key


async def published_keys(session: Session, *, rules: TokenRules) -> list[SigningKey]:
    """The keys whose public halves are in the JWKS; made if there are none yet."""
    return await repository.list_keys(session) or await ensure_keys(session, rules=rules)
