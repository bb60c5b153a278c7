"""Who may pass: tokens and rate limits, checked before a service is troubled."""

import asyncio
import math
from time import time

from chassis.auth import Authenticator
from chassis.errors import DomainError, TooManyRequests, Unauthorized, Unavailable
from chassis.token_cache import TokenCache
from gateway.edge import Inbound
from gateway.limits import ASK, RateLimiter
from gateway.table import Operation

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.4
_NEVER = math.inf


class Ticket:
    """Lets the requests of one caller in, while nothing changes that was looked at: for at most half a minute, and
    not for longer than the token. `expires` is a time of the wall clock, `now` monotonic."""

    __slots__ = ("_bucket", "_limiter", "_revision", "_tokens", "_until")

    def __init__(self, tokens: TokenCache, limiter: RateLimiter, key: object, expires: float, now: float) -> None:
        self._tokens = tokens
        self._limiter = limiter
        self._bucket = limiter.bucket(key, now)
        self._revision = tokens.revision
        self._until = min(limiter.turns_at, now + expires - time())

    def take(self, now: float) -> bool:
        """True if a request may go on; False, with nothing spent, when `Guard.admit` has to look closer."""
        if now >= self._until or self._tokens.revision != self._revision:
            return False
        return self._limiter.spend(self._bucket, now) == 0.0


class Guard:
    """Verifies tokens and counts requests. A token that does not hold is refused even where none is needed."""

    def __init__(
        self, authenticator: Authenticator, *, tokens: RateLimiter, addresses: RateLimiter, retry_seconds: float
    ) -> None:
        self._authenticator = authenticator
        self._tokens = tokens
        self._addresses = addresses
        self._retry_seconds = retry_seconds

    async def admit(self, inbound: Inbound, operation: Operation) -> None:
        """Return if the request may go on. Raises: Unauthorized, TooManyRequests, Unavailable."""
        if inbound.authorization is None or operation.ignores_token:
            await _spend(self._addresses, inbound.client)
            if operation.needs_token:
                raise Unauthorized("Send `Authorization: Bearer <token>`")
            return
        token = inbound.token or ""
        try:
            principal = await self._verify(token)
        except DomainError:
            await _spend(self._addresses, inbound.client)
            raise
        await _spend(self._tokens, principal)

    def ticket(self, token: str | None, client: str, operation: Operation, now: float) -> "Ticket | None":
        """What lets requests of this caller in at once; None when `admit` has to look closer. `now` is monotonic."""
        if token is None or operation.ignores_token:
            return (
                None
                if operation.needs_token
                else Ticket(self._authenticator.cache, self._addresses, client, _NEVER, now)
            )
        known = self._authenticator.verify_known(token)
        if known is None:
            return None
        principal, expires = known
        return Ticket(self._authenticator.cache, self._tokens, principal.session_id, expires, now)

    async def _verify(self, token: str) -> object:
        """The session of the token; waits a little for identity when it is being restarted."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return (await self._authenticator.verify(token)).session_id
            except Unavailable:
                if loop.time() + pause > give_up_at:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _spend(limiter: RateLimiter, key: object) -> None:
    wait = limiter.take(key)
    if wait == ASK:
        wait = await limiter.borrow(key)
    if wait > 0:
        seconds = max(1, math.ceil(wait))
        # Source: draft-ietf-httpapi-ratelimit-headers
        headers = {
            "Retry-After": str(seconds),
            "RateLimit-Policy": f'"default";q={limiter.rate};w=1',
            "RateLimit": f'"default";r=0;t={seconds}',
        }
        raise TooManyRequests(f"Up to {limiter.rate} requests a second", headers=headers)
