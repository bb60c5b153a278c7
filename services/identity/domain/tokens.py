"""Access tokens, the keys that sign them, and refresh tokens."""

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any
from uuid import UUID

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from events.identity import Role
from services.identity.settings import IdentitySettings

KEY_SECRET_MIN = 32
PUBLISHED_AFTER_USE = timedelta(minutes=20)
"""How long a key stays in the JWKS after it signed its last token: longer than any token lives."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How tokens are made in this deployment."""

    issuer: str
    audience: str
    access_seconds: int
    session_seconds: int
    rotation_seconds: int
    key_secret: str


def rules_of(settings: IdentitySettings) -> TokenRules:
    """The rules that these settings make."""
    return TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        access_seconds=settings.access_token_seconds,
        session_seconds=settings.session_seconds,
        rotation_seconds=settings.key_rotation_seconds,
        key_secret=settings.key_secret.get_secret_value(),
    )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One P-256 key pair; it signs from `signs_from` until the next one does."""

    kid: str
    public: dict[str, str]
    sealed: str
    """The private key, encrypted."""

    signs_from: datetime


def _box(secret: str) -> OctKey:
    if len(secret) < KEY_SECRET_MIN:
        raise ValueError(f"IDENTITY_KEY_SECRET must have at least {KEY_SECRET_MIN} characters")
    return OctKey.import_key(hmac.digest(secret.encode(), b"btrst identity signing keys v1", sha256))


def new_key(*, secret: str, signs_from: datetime) -> SigningKey:
    """A fresh key pair, its private half encrypted with a key derived from `secret`.

    Raises: ValueError when the secret is too short. Source: RFC 7638 (kid), RFC 7516 (dir, A256GCM).
    """
    key = ECKey.generate_key("P-256", auto_kid=True)
    private = json.dumps(key.as_dict(private=True)).encode()
    sealed = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, private, _box(secret))
    public = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return SigningKey(kid=key.thumbprint(), public=public, sealed=sealed, signs_from=signs_from)


@lru_cache(maxsize=8)
def open_key(sealed: str, secret: str) -> ECKey:
    """The private key that was sealed with `secret`.

    Raises: ValueError when it was sealed with another.
    """
    try:
        opened = jwe.decrypt_compact(sealed, _box(secret), algorithms=["dir", "A256GCM"])
    except JoseError as error:
        raise ValueError("IDENTITY_KEY_SECRET is not the one the stored signing keys were encrypted with") from error
    return ECKey.import_key(json.loads(opened.plaintext or b"{}"))


def current_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs at `now`: the one whose turn began last."""
    begun = [key for key in keys if key.signs_from <= now]
    return max(begun, key=lambda key: key.signs_from, default=None)


def keys_to_add(keys: Sequence[SigningKey], *, now: datetime, period_seconds: int) -> list[datetime]:
    """The turns (`signs_from`) of the keys that are missing: always one that signs and one that is known ahead.

    The next key is published a whole period before it signs, so no cached JWKS lacks it.
    """
    period = timedelta(seconds=period_seconds)
    current = current_key(keys, now)
    turns = [] if current else [now]
    begin = current.signs_from if current else now
    if not any(key.signs_from > now for key in keys):
        turns.append(max(begin + period, now + period // 2))
    return turns


def retired_kids(keys: Sequence[SigningKey], *, now: datetime) -> list[str]:
    """The keys whose last token has expired: their successor began long enough ago."""
    ordered = sorted(keys, key=lambda key: key.signs_from)
    return [key.kid for key, successor in pairwise(ordered) if successor.signs_from + PUBLISHED_AFTER_USE < now]


def jwks(keys: Sequence[SigningKey]) -> dict[str, Any]:
    """The public halves as a JWK set. Source: RFC 7517."""
    return {"keys": [{**key.public, "kid": key.kid, "use": "sig", "alg": "ES256"} for key in keys]}


def sign_access_token(
    *, key: SigningKey, rules: TokenRules, member_id: UUID, session_id: UUID, roles: Sequence[Role], now: datetime
) -> str:
    """An access token of the member in this session.

    Raises: ValueError as `open_key`. Source: RFC 9068 (`typ` at+jwt), with `sid` and `roles` beside its claims.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": rules.issuer,
        "aud": rules.audience,
        "sub": str(member_id),
        "sid": str(session_id),
        "iat": issued,
        "exp": issued + rules.access_seconds,
        "jti": secrets.token_urlsafe(16),
        "roles": list(roles),
    }
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    return jwt.encode(header, claims, open_key(key.sealed, rules.key_secret), algorithms=["ES256"])


def new_refresh_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def refresh_token_hash(token: str) -> bytes:
    """What is stored of a refresh token. It is random, so one round of SHA-256 is enough."""
    return sha256(token.encode()).digest()
