"""A rate limit per caller, as a leaky bucket without a queue (GCRA), in nanoseconds of a clock that never goes back."""

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000
FORGET_AT = 10_000
"""Callers remembered before those who have been quiet are dropped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go on, how many more may come at once, and how long the next one has to wait."""

    allowed: bool
    remaining: int
    retry_after_seconds: int


@dataclass(slots=True)
class RateLimiter:
    """`per_second` calls a second for each caller, in bursts of at most as many."""

    per_second: int
    _empty_at: dict[str, int] = field(default_factory=dict)
    """Caller → when the bucket has leaked dry."""

    def take(self, caller: str, now_ns: int) -> Verdict:
        """Count one call of `caller`, unless it is over the limit."""
        if len(self._empty_at) >= FORGET_AT:
            self._empty_at = {name: moment for name, moment in self._empty_at.items() if moment > now_ns}
        empty_at = max(self._empty_at.get(caller, now_ns), now_ns) + SECOND_NS // self.per_second
        room_ns = SECOND_NS - (empty_at - now_ns)
        if room_ns < 0:
            return Verdict(allowed=False, remaining=0, retry_after_seconds=-(room_ns // SECOND_NS))
        self._empty_at[caller] = empty_at
        return Verdict(allowed=True, remaining=room_ns * self.per_second // SECOND_NS, retry_after_seconds=0)
