"""What the endpoints share: threads for slow work, the log-in limit, the settings."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response

from chassis.errors import TooManyRequests
from chassis.signatures import SignatureInvalid, recover_personal
from chassis.sse import Streams
from chassis.web import ContextDep
from services.identity.domain.rate import RateLimiter, Verdict
from services.identity.domain.tokens import TokenRules, rules_of
from services.identity.errors import ChallengeInvalid
from services.identity.settings import IdentitySettings

T = TypeVar("T")
Network = IPv4Network | IPv6Network
STREAM_READS = 4
"""Streams that read from the database at once: what else is asked needs connections too."""


@dataclass(slots=True)
class Resources:
    """Opened when the service starts; `Context.resources`."""

    pool: ThreadPoolExecutor
    backlog: int
    log_ins: RateLimiter
    trusted_proxies: Sequence[Network]
    streams: Streams
    stream_reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STREAM_READS))
    _waiting: int = field(default=0)

    def ring(self, member_ids: str) -> None:
        """Let the streams of these members look; the ids come with commas between them."""
        for member_id in member_ids.split(","):
            self.streams.ring(UUID(member_id))

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work`, done in one of the threads.

        Raises: TooManyRequests when as many wait as may; whatever `work` raises.
        """
        if self._waiting >= self.backlog:
            raise TooManyRequests("Too many requests at once; try again", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)
        finally:
            self._waiting -= 1


def open_resources(settings: IdentitySettings) -> Resources:
    """The resources of a service with these settings."""
    return Resources(
        pool=ThreadPoolExecutor(settings.hashing_threads, thread_name_prefix="hashing"),
        backlog=settings.hashing_backlog,
        log_ins=RateLimiter(settings.login_rate_limit),
        trusted_proxies=[ip_network(part.strip()) for part in settings.trusted_proxies.split(",") if part.strip()],
        streams=Streams(most=settings.max_streams, most_each=settings.max_streams_per_member),
    )


def _resources_of(context: ContextDep) -> Resources:
    resources: Resources = context.resources
    return resources


def _settings_of(context: ContextDep) -> IdentitySettings:
    settings: IdentitySettings = context.settings
    return settings


def _rules_of(context: ContextDep) -> TokenRules:
    return rules_of(context.settings)


ResourcesDep = Annotated[Resources, Depends(_resources_of)]
SettingsDep = Annotated[IdentitySettings, Depends(_settings_of)]
RulesDep = Annotated[TokenRules, Depends(_rules_of)]
"""How tokens are made."""


async def recover_signer(resources: Resources, message: str, signature: str) -> str:
    """The EIP-55 address that signed the challenge. Raises: ChallengeInvalid."""
    try:
        return await resources.run(recover_personal, message, signature)
    except SignatureInvalid as error:
        raise ChallengeInvalid(error.detail) from error


def client_address(request: Request, trusted_proxies: Sequence[Network]) -> str:
    """Who calls: the last address in the chain of proxies that is not a trusted one."""
    caller = request.client.host if request.client else "unknown"
    for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
        if not _is_in(caller, trusted_proxies) or not hop.strip():
            break
        caller = hop.strip()[:64]
    return caller


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def limit_log_ins(request: Request, response: Response, resources: ResourcesDep) -> None:
    """Count a log-in of the caller's address.

    Raises: TooManyRequests. Source: draft-ietf-httpapi-ratelimit-headers (RateLimit, RateLimit-Policy).
    """
    limiter = resources.log_ins
    verdict = limiter.take(client_address(request, resources.trusted_proxies), time.monotonic_ns())
    headers = _rate_headers(limiter.per_second, verdict)
    if not verdict.allowed:
        wait = str(max(1, verdict.retry_after_seconds))
        raise TooManyRequests("Too many log-ins from this address", headers={**headers, "Retry-After": wait})
    response.headers.update(headers)


def _rate_headers(per_second: int, verdict: Verdict) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"log-ins";q={per_second};w=1',
        "RateLimit": f'"log-ins";r={verdict.remaining};t=1',
    }
