"""A rate limit per caller, as a leaky bucket without a queue (GCRA)."""

from dataclasses import dataclass, field

FORGET_AT = 10_000
"""Callers remembered before those who have been quiet are dropped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go on, how many more may come at once, and in how many seconds the next one may."""

    allowed: bool
    remaining: int
    retry_after_seconds: float


@dataclass(slots=True)
class RateLimiter:
    """`per_second` calls a second for each caller, in bursts of at most as many."""

    per_second: int
    _full_at: dict[str, float] = field(default_factory=dict)

    def take(self, caller: str, now: float) -> Verdict:
        """Count one call of `caller` at `now` (seconds of a clock that never goes back)."""
        if len(self._full_at) >= FORGET_AT:
            self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}
        step = 1 / self.per_second
        next_full = max(self._full_at.get(caller, now), now) + step
        over = next_full - now - 1
        if over > 1e-9:
            return Verdict(allowed=False, remaining=0, retry_after_seconds=over)
        self._full_at[caller] = next_full
        return Verdict(allowed=True, remaining=int((-over + 1e-9) * self.per_second), retry_after_seconds=0)
