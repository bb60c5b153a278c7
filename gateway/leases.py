"""What a gateway process has in hand of each caller's tokens, and what it says to the server that lends them.

States of a lease: *dry* (no token: who comes waits for the server) → *in hand* (half of it spent: more is asked for) →
*dry* again, or *empty* (the server had less than was asked for: who comes is refused for a moment without asking).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.limits import Bucket

_LEASES_PER_SECOND = 20
"""The largest lease is what one caller may take in such a part of a second."""

_GROWS_WITHIN_SECONDS = 1.0
_WORTH_PREFETCHING = 4
_NEVER_LOW = -1
_EMPTY_SECONDS = 0.02
"""For how long an empty bucket is left alone at least; what fills it meanwhile is not lost."""


class Ask(NamedTuple):
    """Tokens that are wanted of one bucket, which fills by `rate` a second."""

    key: str
    rate: int
    wanted: int


class Answer(NamedTuple):
    """How many are lent, and in how many seconds there will be another one, if these were all."""

    lent: int
    wait_seconds: float


class LimitServerAway(Exception):
    """The server does not answer, or not as it should. The message holds nothing of its URL."""


Waiter = asyncio.Future[float | None]
"""Gets what `RateLimiter.spend` returns; None when the server cannot tell."""


class Server(Protocol):
    """Who lends: `gateway/limit_server.py`."""

    name: str

    async def lend(self, asks: Sequence[Ask]) -> list[Answer]:
        """The answers to `asks`, in their order. Raises: LimitServerAway."""

    async def close(self) -> None:
        """Close the connection."""


class Lease(Bucket):
    """What one caller has in hand here. `full_at` is for when the server is away."""

    __slots__ = ("_asked_at", "_most", "_rate", "_size", "empty_until", "is_asked", "key", "low", "tokens", "waiters")

    def __init__(self, key: str, rate: int) -> None:
        super().__init__()
        self.key = key
        self.tokens = 0
        self.low = _NEVER_LOW
        """With so many tokens left the next lease is asked for."""

        self.is_asked = False
        self.empty_until = 0.0
        self.waiters: deque[Waiter] = deque()
        self._rate = rate
        self._most = rate // _LEASES_PER_SECOND
        self._size = 0
        self._asked_at = float("-inf")

    def ask(self, now: float) -> Ask:
        """What to ask for: a token for each request that waits, and a lease that doubles while there is use for it."""
        is_used = now - self._asked_at < _GROWS_WITHIN_SECONDS
        self._size = min(self._most, 2 * self._size if is_used and self._size else 1)
        self._asked_at = now
        waiting = sum(not waiter.done() for waiter in self.waiters)
        return Ask(self.key, self._rate, max(1, waiting + self._size - self.tokens))

    def receive(self, answer: Answer, wanted: int, now: float) -> bool:
        """Hand out what was lent; whether there are requests left that came while the question was under way."""
        self.is_asked = False
        left, is_empty, waiters = self.tokens + answer.lent, answer.lent < wanted, self.waiters
        while waiters and (left or is_empty):
            waiter = waiters.popleft()
            if waiter.done():
                continue
            if left:
                left -= 1
                waiter.set_result(0.0)
            else:
                waiter.set_result(answer.wait_seconds)
        self.tokens = left
        self.low = left // 2 if left >= _WORTH_PREFETCHING else _NEVER_LOW
        if is_empty:
            self.empty_until = now + max(answer.wait_seconds, _EMPTY_SECONDS)
        return bool(waiters)

    def release(self) -> None:
        """Let those who wait know that the server does not tell."""
        self.is_asked = False
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
