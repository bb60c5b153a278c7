"""The Redis or Valkey server that counts for all gateway processes: the only place that speaks to it."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.leases import Answer, Ask, LimitServerAway

_LEND = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local cost = 1000000 / tonumber(ARGV[2 * i - 1])
  local wanted = tonumber(ARGV[2 * i])
  local full_at = math.min(math.max(tonumber(redis.call('GET', key) or now), now), now + 1000000)
  local room = now + 1000000 - full_at
  local lent = math.min(wanted, math.floor(room / cost + 0.001))
  local wait = 0
  if lent > 0 then
    full_at = full_at + lent * cost
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
  end
  if lent < wanted then wait = math.ceil((lent + 1) * cost - room) end
  answers[2 * i - 1], answers[2 * i] = lent, wait
end
return answers
"""
"""A token bucket for each key, kept as the microsecond of the server's clock at which it will be full again (generic
cell rate algorithm, ITU-T I.371), with room for a second's worth. A key that is gone is a full bucket. One call is one
step: no other caller comes in between. A clock that was set back cannot make a bucket emptier than empty."""


class LimitServer:
    """One connection to the server, opened when it is needed."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """`seconds` is how long an answer may take. Raises: ValueError, which tells nothing of the URL."""
        self._seconds = seconds
        try:
            split = urlsplit(url)
            self.name = f"{split.hostname}:{split.port or 6379}"
            self._redis = _client(url, seconds)
            self._redis.connection_pool.make_connection()  # connects to nothing, but knows its options
        except (ValueError, TypeError):
            raise ValueError("GATEWAY_LIMITS_URL has a port, a database or an option that cannot be used") from None
        self._lend = self._redis.register_script(_LEND)

    async def lend(self, asks: Sequence[Ask]) -> list[Answer]:
        """The answers to `asks`, in their order; none of none, which shows that the server is there.

        Raises: LimitServerAway.
        """
        keys = [ask.key for ask in asks]
        figures = [figure for ask in asks for figure in (ask.rate, ask.wanted)]
        try:
            async with asyncio.timeout(self._seconds):
                found: list[int] = await self._lend(keys, figures)
        except (RedisError, OSError, TimeoutError) as error:
            raise LimitServerAway(type(error).__name__) from error
        return [Answer(lent, wait / 1e6) for lent, wait in zip(found[::2], found[1::2], strict=True)]

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _client(url: str, seconds: float) -> Any:
    return Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 1),  # a kept connection may have ended; tokens lent for nothing fill up again
        protocol=2,
    )
