"""A pool of HTTP/1.1 connections to upstream servers, on asyncio protocols and httptools.

Bodies stream both ways with back-pressure. The pool writes every request's framing itself: what the caller passes as
`content-length` or `transfer-encoding` never reaches the wire, so a request can be read in one way only.
"""

from chassis.upstreams.balance import Upstream
from chassis.upstreams.breaker import Breaker, BreakerLimits, CircuitState
from chassis.upstreams.messages import (
    SAFE_METHODS,
    Origin,
    PoolLimits,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamMalformed,
    UpstreamOpen,
    UpstreamRequest,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from chassis.upstreams.pool import UpstreamPool
from chassis.upstreams.response import UpstreamResponse

__all__ = [
    "SAFE_METHODS",
    "Breaker",
    "BreakerLimits",
    "CircuitState",
    "Origin",
    "PoolLimits",
    "Upstream",
    "UpstreamBroken",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamMalformed",
    "UpstreamOpen",
    "UpstreamPool",
    "UpstreamRequest",
    "UpstreamResponse",
    "UpstreamTimeout",
    "UpstreamUnreachable",
]
