"""Rate limits in memory: a token bucket for each caller, one number each."""

import time

_GENERATION_SECONDS = 30.0


class RateLimiter:
    """Lets each key through `rate` times a second, and a second's worth at once.

    A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371). A
    bucket that nobody touched for a generation is full, so it can be forgotten.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._cost = 1.0 / rate
        self._young: dict[object, float] = {}
        self._old: dict[object, float] = {}
        self._turned_at = time.monotonic()

    def take(self, key: object, *, now: float | None = None) -> float:
        """0.0 when the request may pass, else how many seconds to wait before the next try."""
        now = time.monotonic() if now is None else now
        if now - self._turned_at > _GENERATION_SECONDS:
            self._old, self._young, self._turned_at = self._young, {}, now
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.get(key, 0.0)
        full_at = (full_at if full_at > now else now) + self._cost
        if full_at - now > 1.0 + 1e-9:
            return full_at - now - 1.0
        self._young[key] = full_at
        return 0.0
