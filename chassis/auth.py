"""Who is calling: access tokens by JWKS, ended sessions and suspended members, and the internal API's own tokens.

An access token is verified once and remembered; each use checks its expiry and the revocations again. A background
poll asks identity for revocations every second, so that an ended session stops within 5 s everywhere.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from chassis.errors import Forbidden, Unauthorized, Unavailable
from chassis.http import HttpClient, HttpUnavailable
from chassis.ids import new_id
from chassis.telemetry import log
from chassis.token_cache import Known, Principal, TokenCache

POLL_SECONDS = 1.0
INTERNAL_TOKEN_SECONDS = 60
MAX_TOKEN_BYTES = 4_096


class TokenSource(Protocol):
    """Where the keys and the revocations come from: identity over HTTP, or identity's own tables."""

    async def keys(self) -> dict[str, Any]:
        """The JWKS document (RFC 7517)."""

    async def revocations(self, after: str | None) -> dict[str, Any]:
        """`{"items": [{"kind", "id", "at"}], "next": cursor}`: what was revoked since the cursor `after`."""


class RemoteTokenSource:
    """Asks the identity service. Raises: HttpUnavailable, Unavailable."""

    def __init__(self, http: HttpClient, identity_url: str, internal_secret: str) -> None:
        self._http = http
        self._url = identity_url.rstrip("/")
        self._secret = internal_secret

    async def keys(self) -> dict[str, Any]:
        """The JWKS document of identity."""
        return await self._get(f"{self._url}/.well-known/jwks.json", {})

    async def revocations(self, after: str | None) -> dict[str, Any]:
        """One page of identity's revocation feed."""
        query = f"?after={after}" if after else ""
        headers = {"Authorization": f"Bearer {internal_token(self._secret, 'identity')}"}
        return await self._get(f"{self._url}/internal/revocations{query}", headers)

    async def _get(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        answer = await self._http.get_json(url, headers=dict(headers))
        if answer.status != 200:
            raise Unavailable(f"identity answered {answer.status}", code="identity_unavailable")
        body: dict[str, Any] = answer.json()
        return body


class Authenticator:
    """Verifies access tokens. Source: RFC 7519, RFC 9068 (typ at+jwt), RFC 8725 (fixed algorithm, checked claims)."""

    def __init__(self, source: TokenSource, *, issuer: str, audience: str) -> None:
        self._source = source
        self._issuer = issuer
        self._audience = audience
        self._keys: KeySet | None = None
        self._kids: frozenset[str] = frozenset()
        self._keys_asked_at = float("-inf")
        self.cache = TokenCache()
        self._cursor: str | None = None
        self._revocations_known = False
        self._lock = asyncio.Lock()
        self._poll: asyncio.Task[None] | None = None

    async def verify(self, token: str) -> Principal:
        """The member behind `token`.

        Raises: Unauthorized when the token does not hold (any more); Unavailable when identity cannot be asked.
        """
        known = self.cache.get(token) or await self._verify_anew(token)
        if not self._revocations_known and self.cache.holds(known):
            await self._learn_revocations()
        return self.cache.check(token, known)

    def verify_known(self, token: str) -> Known | None:
        """What is known of a token that was verified before and still holds; None when `verify` has to look."""
        found = self.cache.get(token)
        return found if found is not None and self._revocations_known and self.cache.holds(found) else None

    async def _verify_anew(self, token: str) -> Known:
        if len(token) > MAX_TOKEN_BYTES:
            raise _invalid()
        kid = _kid_of(token)
        if kid not in self._kids:
            await self._learn_keys(kid)
        if kid not in self._kids or self._keys is None:
            raise _invalid()
        claims = self._claims_of(token, self._keys)
        return self.cache.put(token, _principal_of(claims), claims["exp"])

    def _claims_of(self, token: str, keys: KeySet) -> dict[str, Any]:
        try:
            decoded = jwt.decode(token, keys, algorithms=["ES256"])
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _invalid() from error
        claims = decoded.claims
        if str(decoded.header.get("typ", "")).lower() != "at+jwt":
            raise _invalid()
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise _invalid()
        if not _is_time(claims.get("exp")) or not _is_time(claims.get("iat")) or claims["iat"] > time.time() + 60:
            raise _invalid()
        return dict(claims)

    async def _learn_keys(self, kid: str) -> None:
        async with self._lock:
            if kid in self._kids or time.monotonic() - self._keys_asked_at < 1.0:
                return
            try:
                document = await self._source.keys()
            except HttpUnavailable as error:
                raise Unavailable("identity does not answer", code="identity_unavailable") from error
            self._keys_asked_at = time.monotonic()
            self._keys = KeySet.import_key_set(document)  # type: ignore[arg-type]
            self._kids = frozenset(key["kid"] for key in document["keys"])

    async def _learn_revocations(self) -> None:
        while not await self._take_page():
            pass
        self._revocations_known = True
        self.cache.forget_old()

    async def _take_page(self) -> bool:
        """Read on in the feed; True at its end."""
        cursor = self._cursor
        try:
            page = await self._source.revocations(cursor)
        except HttpUnavailable as error:
            raise Unavailable("identity does not answer", code="identity_unavailable") from error
        for item in page["items"]:
            self.cache.take(item["kind"], UUID(item["id"]))
        self._cursor = page["next"]
        return not page["items"] or page["next"] == cursor

    async def start(self) -> None:
        """Begin to poll for revocations in the background."""
        self._poll = asyncio.create_task(self._poll_for_ever())

    async def stop(self) -> None:
        """End the background poll."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll
            self._poll = None

    async def _poll_for_ever(self) -> None:
        while True:
            try:
                await self._learn_revocations()
            except Exception as error:  # noqa: BLE001, RUF100 - identity may be away; the next round asks again
                log.debug("revocations_unavailable", error=str(error))
            await asyncio.sleep(POLL_SECONDS)


def _kid_of(token: str) -> str:
    try:
        header = jwt_header(token)
    except ValueError as error:
        raise _invalid() from error
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise _invalid()
    return kid


def jwt_header(token: str) -> dict[str, Any]:
    """The unverified header of a compact JWS. Raises: ValueError when it is none."""
    from base64 import urlsafe_b64decode

    from chassis.errors import BadRequest
    from chassis.strict_json import load

    first, dot, rest = token.partition(".")
    if not dot or rest.count(".") != 1 or not token.isascii():
        raise ValueError("not a compact JWS")
    try:
        header = load(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except BadRequest as error:
        raise ValueError("not a compact JWS") from error
    if not isinstance(header, dict):
        raise ValueError("not a compact JWS")
    return header


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _principal_of(claims: Mapping[str, Any]) -> Principal:
    try:
        roles = claims["roles"]
        if not isinstance(roles, list):
            raise TypeError
        return Principal(UUID(claims["sub"]), frozenset(map(str, roles)), UUID(claims["sid"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _invalid() from error


def _invalid() -> Unauthorized:
    return Unauthorized("The token does not hold", code="token_invalid")


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """The bearer token of a request, or None. Source: RFC 6750 section 2.1."""
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else ""


_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT", description="An access token")


async def _maybe_caller(request: Request) -> Principal | None:
    token = bearer_of(request.headers)
    if token is None:
        return None
    auth: Authenticator = request.app.state.context.auth
    return await auth.verify(token)


async def caller_of(
    principal: Annotated[Principal | None, Depends(_maybe_caller)], _: Annotated[object, Security(_BEARER)]
) -> Principal:
    """Dependency: the member who calls. Raises: Unauthorized without a valid token."""
    if principal is None:
        raise Unauthorized("Send `Authorization: Bearer <token>`")
    return principal


async def _admin(caller: Annotated[Principal, Depends(caller_of)]) -> Principal:
    if not caller.is_admin:
        raise Forbidden("Only an admin may do this", code="admin_only")
    return caller


CallerDep = Annotated[Principal, Depends(caller_of)]
"""The member who calls; without a valid token 401."""

MaybeCallerDep = Annotated[Principal | None, Depends(_maybe_caller)]
"""The member who calls, or None without a token; a token that does not hold is 401."""

AdminDep = Annotated[Principal, Depends(_admin)]
"""An admin; other members get 403."""


def internal_token(secret: str, service: str) -> str:
    """A token for the internal API of `service`, good for a minute."""
    now = int(time.time())
    claims = {"aud": f"{service}-internal", "iat": now, "exp": now + INTERNAL_TOKEN_SECONDS, "jti": str(new_id())}
    return jwt.encode({"alg": "HS256", "typ": "internal+jwt"}, claims, OctKey.import_key(secret), algorithms=["HS256"])


async def internal_only(request: Request) -> None:
    """Dependency of internal routers: let only other services of this deployment in.

    Raises: Unauthorized.
    """
    context = request.app.state.context
    token = bearer_of(request.headers) or ""
    try:
        decoded = jwt.decode(token, OctKey.import_key(context.base.internal_secret), algorithms=["HS256"])
    except (JoseError, ValueError, TypeError) as error:
        raise _invalid() from error
    claims = decoded.claims
    expires = claims.get("exp")
    if claims.get("aud") != f"{context.service}-internal" or not isinstance(expires, int) or expires <= time.time():
        raise _invalid()
