"""Rate limits of all gateway processes together: tokens are lent by a shared server, and spent here.

A request takes a token that is in hand, which costs no more than a limit in memory. A caller who is new here waits for
the server once or a few times; then leases grow with use, up to a twentieth of a second's worth, and the next one is
asked for in the background. What is wanted while a question is under way goes into the next one, so there is one
question at a time, whatever the traffic.

States of the lender: *shared* → *away* when the server does not answer in time: each process limits by itself, at the
same rate, and looks every second whether the server is back → *shared*.

The bound: while the server is there, all processes together let through, of one caller in any T seconds, at most
rate × (T + 1) requests, and one lease (rate / 20, rounded down) for each process.
"""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

from prometheus_client import Gauge

from chassis.telemetry import log
from gateway.leases import Lease, LimitServerAway, Server, Waiter
from gateway.limits import ASK, RateLimiter
from gateway.settings import GatewaySettings

AWAY = Gauge("btrst_gateway_limits_away", "1 while the server of the shared limits does not answer")

_LOOK_SECONDS = 1.0
_MOST_ASKS = 500


class Lender:
    """Asks the server for whatever leases are wanted, one question at a time."""

    def __init__(self, server: Server) -> None:
        self.is_away = False
        self._server = server
        self._wanting: deque[Lease] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look whether the server is there; the gateway serves without it, too."""
        try:
            await self._server.lend(())
        except LimitServerAway as error:
            self._leave(error)

    async def close(self) -> None:
        """Ask no more."""
        tasks = [task for task in (self._asking, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.close()
        AWAY.set(0)

    def want(self, lease: Lease) -> None:
        """Ask for a lease, if that is not under way."""
        if lease.is_asked:
            return
        lease.is_asked = True
        self._wanting.append(lease)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        wanting, leases = self._wanting, list[Lease]()
        try:
            while wanting:
                leases = [wanting.popleft() for _ in range(min(len(wanting), _MOST_ASKS))]
                now = monotonic()
                asks = [lease.ask(now) for lease in leases]
                answers = await self._server.lend(asks)
                now = monotonic()
                for lease, ask, answer in zip(leases, asks, answers, strict=True):
                    if lease.receive(answer, ask.wanted, now):
                        self.want(lease)
                leases = []
        except LimitServerAway as error:
            self._leave(error)
        finally:
            self._asking = None
            for lease in (*leases, *wanting):
                lease.release()
            wanting.clear()

    def _leave(self, error: LimitServerAway) -> None:
        if self.is_away:
            return
        self.is_away = True
        AWAY.set(1)
        log.warning("limits_server_away", server=self._server.name, error=str(error), limits="each gateway by itself")
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self.is_away:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(LimitServerAway):
                await self._server.lend(())
                self.is_away = False
        AWAY.set(0)
        log.info("limits_server_back", server=self._server.name)


class SharedRateLimiter(RateLimiter):
    """As its base, for all processes that share a server. Callers are told apart there by `name` and key."""

    def __init__(self, rate: int, *, name: str, lender: Lender) -> None:
        super().__init__(rate)
        self._name = name
        self._lender = lender

    def _new(self, key: object) -> Lease:
        return Lease(f"btrst:limits:{self._name}:{key}", self.rate)

    def spend(self, bucket: Lease, now: float) -> float:  # type: ignore[override]  # there are no other buckets here
        """Take one that is in hand."""
        left = bucket.tokens - 1
        if left < 0:
            return self._refuse(bucket, now)
        bucket.tokens = left
        if left == bucket.low and not self._lender.is_away:
            self._lender.want(bucket)
        return 0.0

    def _refuse(self, lease: Lease, now: float) -> float:
        """What to do without a token in hand."""
        if self._lender.is_away:
            return super().spend(lease, now)
        return ASK if now >= lease.empty_until else lease.empty_until - now

    async def borrow(self, key: object) -> float:
        """Wait for the server; when it is away, as in memory."""
        if self._lender.is_away:
            return self.take(key)
        lease = self.bucket(key, monotonic())
        assert isinstance(lease, Lease)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        lease.waiters.append(waiter)
        self._lender.want(lease)
        found = await waiter
        return super().spend(lease, monotonic()) if found is None else found


def limiters_of(settings: GatewaySettings) -> tuple[RateLimiter, RateLimiter, Lender | None]:
    """The limiters of tokens and of addresses, and who lends to them; nobody when they are in memory.

    Raises: ValueError for an URL that cannot be used.
    """
    rates = (settings.rate_limit, settings.address_rate_limit or settings.rate_limit)
    if not settings.limits_url:
        return RateLimiter(rates[0]), RateLimiter(rates[1]), None
    from gateway.limit_server import LimitServer  # the client takes a tenth of a second to load

    lender = Lender(LimitServer(settings.limits_url, seconds=settings.limits_seconds))
    return (
        SharedRateLimiter(rates[0], name="token", lender=lender),
        SharedRateLimiter(rates[1], name="address", lender=lender),
        lender,
    )
