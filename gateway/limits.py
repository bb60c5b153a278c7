"""Rate limits in memory: a token bucket for each caller, one number each.

States of a bucket: *full* (the moment it will be full again has passed) → *partly spent* with each request, which moves
that moment on by `1 / rate` → *empty* when it would be more than a second away: requests are refused, and move nothing.
Time alone leads back. Buckets live for two generations: asked for in this one (*young*), in the one before (*old*),
then forgotten, full.
"""

from time import monotonic

ASK = -1.0
"""Instead of a time to wait: only `RateLimiter.borrow` can tell."""

_GENERATION_SECONDS = 30.0


class Bucket:
    """One caller's, kept as the moment at which it will be full again (generic cell rate algorithm, ITU-T I.371)."""

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0


class RateLimiter:
    """Lets each key through `rate` times a second, and a second's worth at once.

    A bucket that nobody asked for in a whole generation is full, so it can be forgotten; who keeps a bucket asks for it
    again after `turns_at`.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.turns_at = 0.0
        """Monotonic: until then a bucket that was asked for is the only one of its key."""

        self._cost = 1.0 / rate
        self._young: dict[object, Bucket] = {}
        self._old: dict[object, Bucket] = {}

    def bucket(self, key: object, now: float) -> Bucket:
        """The key's bucket. `now` is monotonic, as everywhere here."""
        if now >= self.turns_at:
            self._old, self._young, self.turns_at = self._young, {}, now + _GENERATION_SECONDS
        bucket = self._young.get(key)
        if bucket is None:
            bucket = self._young[key] = self._old.get(key) or self._new(key)
        return bucket

    def _new(self, key: object) -> Bucket:  # noqa: ARG002 - for limiters that share by it
        return Bucket()

    def spend(self, bucket: Bucket, now: float) -> float:
        """0.0 when the request may pass, else how many seconds to wait before the next try, or `ASK`."""
        full_at = (bucket.full_at if bucket.full_at > now else now) + self._cost
        if full_at - now > 1.0 + 1e-9:
            return full_at - now - 1.0
        bucket.full_at = full_at
        return 0.0

    def take(self, key: object, *, now: float | None = None) -> float:
        """As `spend`, by the key."""
        now = monotonic() if now is None else now
        return self.spend(self.bucket(key, now), now)

    async def borrow(self, key: object) -> float:
        """What `take` could not tell. In memory it always can."""
        return self.take(key)
