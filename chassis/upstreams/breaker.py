"""A circuit breaker for one address: after some failures in a row it is left alone for a while.

States:

- *closed*: everything is let through. After `failures` failures in a row → *open*.
- *open*: nothing is let through for the cool-down. The first request after it is let through as a probe → *half-open*.
- *half-open*: the probe is under way, and nothing else is let through. A success → *closed*; a failure → *open* with
  twice the cool-down, up to the longest. A probe that ends without either (its client left) makes room for the next
  one when the cool-down has passed again.

A failure is no connection in time, a connection that ends before the head of its first answer, no answer in time, or
an answer that is no HTTP. An answer is a sign of life whatever its status: what a service says is its own affair. A
kept-alive connection that ends is none: servers close them as they like.

Pure: time is given, monotonic and in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class CircuitState(Enum):
    """Where a breaker stands. The values are those of the metric."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens, and for how long."""

    failures: int = 5
    """So many in a row open it."""

    cool_down_seconds: float = 0.5
    longest_seconds: float = 5.0
    """The cool-down doubles with each probe that fails, up to this."""


def nobody(_state: CircuitState) -> None:
    """Told of changes, does nothing."""


class Breaker:
    """The breaker of one address. `tell` hears of every change of state."""

    __slots__ = ("_cool_down", "_limits", "_tell", "_until", "failures", "is_closed", "state")

    def __init__(self, limits: BreakerLimits, tell: Callable[[CircuitState], None] = nobody) -> None:
        self.state = CircuitState.CLOSED
        self.is_closed = True
        self.failures = 0
        """In a row; never 0 unless it is closed, so that nobody has to tell of successes while it is 0."""

        self._limits = limits
        self._tell = tell
        self._cool_down = limits.cool_down_seconds
        self._until = 0.0

    def admits(self, now: float) -> bool:
        """Whether a request may go there now. Whoever is told so when it is not closed sends the probe."""
        if self.is_closed:
            return True
        if now < self._until:
            return False
        self._until = now + self._cool_down
        self._move(CircuitState.HALF_OPEN)
        return True

    def is_due(self, now: float) -> bool:
        """Whether a probe may be sent now."""
        return not self.is_closed and now >= self._until

    def seconds_left(self, now: float) -> float:
        """How long until a request may have a chance: 0 also while a probe is under way, which may end at any time."""
        return max(0.0, self._until - now) if self.state is CircuitState.OPEN else 0.0

    def succeeded(self) -> None:
        """The head of an answer has come. When it is open, that was an answer to something sent long before."""
        if self.state is CircuitState.OPEN:
            return
        self.failures = 0
        if self.state is CircuitState.HALF_OPEN:
            self._cool_down = self._limits.cool_down_seconds
            self._move(CircuitState.CLOSED)

    def failed(self, now: float) -> None:
        """A request had no answer for a reason that lies with the address."""
        self.failures += 1
        if self.state is CircuitState.HALF_OPEN:
            self._cool_down = min(2 * self._cool_down, self._limits.longest_seconds)
        elif not self.is_closed or self.failures < self._limits.failures:
            return
        self._until = now + self._cool_down
        self._move(CircuitState.OPEN)

    def _move(self, state: CircuitState) -> None:
        if state is not self.state:
            self.state, self.is_closed = state, state is CircuitState.CLOSED
            self._tell(state)


class NeverOpen(Breaker):
    """For connections that nobody wants watched."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(BreakerLimits())

    def failed(self, now: float) -> None:
        """Nothing."""
