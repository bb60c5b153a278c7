"""The pool: who gets which connection, how many there may be, and when to try again.

States of a connection, for the pool:

- *connecting*: counted as open already, so that callers who come meanwhile do not all connect. No answer in time, or
  refused → gone, and the breaker hears of it. Made → *busy* with its caller's request.
- *busy*: it carries one exchange. Complete, and both sides keep it alive → given to the caller who waits longest, still
  *busy*; nobody waits → *idle*. Broken, given up or timed out → gone.
- *idle*: the last one used is the first taken → *busy*. Unused for `keep_alive_seconds`, or closed upstream → gone.
- gone: the caller who waits longest may connect in its place.

A caller takes an idle connection; else connects, up to `max_connections`; else waits, up to `max_waiting` of them, each
for `first_byte_seconds`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from chassis.upstreams.breaker import Breaker, NeverOpen
from chassis.upstreams.connection import Connection
from chassis.upstreams.messages import (
    SAFE_METHODS,
    Origin,
    PoolLimits,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamRequest,
    UpstreamUnreachable,
)
from chassis.upstreams.response import UpstreamResponse

_SWEEP_SECONDS = 0.1


class Lane:
    """The connections to one origin: the idle ones (the last used first) and the callers waiting for one."""

    def __init__(self, origin: Origin, breaker: Breaker) -> None:
        self.origin = origin
        self.breaker = breaker
        self.open = 0
        self.idle: deque[Connection] = deque()
        self.waiting: deque[asyncio.Future[Connection | None]] = deque()

    def take(self, now: float, *, careful: bool) -> Connection | None:
        """A connection that is open and idle, to be used at once; None when there is none. `now` is monotonic.

        `careful` looks in the kernel whether the upstream has closed it: for what must not be sent twice.
        """
        while self.idle:
            connection = self.idle.pop()
            if connection.is_usable(now) and not (careful and not connection.is_quiet()):
                return connection
            connection.close()
        return None


def unwatched(_origin: Origin) -> Breaker:
    """A breaker that never opens."""
    return NeverOpen()


class UpstreamPool:
    """Connections to any number of origins. To be used within one event loop.

    The breakers hear how requests end; whoever sends them asks the breakers first (`balance.Upstream` does).
    """

    def __init__(self, limits: PoolLimits | None = None, breaker_of: Callable[[Origin], Breaker] = unwatched) -> None:
        self.limits = limits or PoolLimits()
        self._breaker_of = breaker_of
        self._lanes: dict[Origin, Lane] = {}
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, origin: Origin, request: UpstreamRequest) -> UpstreamResponse:
        """Send `request` and return once the answer's head is here; read or close the answer.

        A request with a safe method and no body is sent again, once, if a kept-alive connection proves dead.
        Raises: UpstreamUnreachable (nothing was sent), UpstreamBusy, UpstreamBroken, UpstreamTimeout,
        UpstreamMalformed; ValueError for a request that cannot be written; whatever the body raises.
        """
        connection = await self._acquire(origin, careful=request.method not in SAFE_METHODS)
        if not (connection.reused and request.repeatable):
            return await connection.exchange(request)
        try:
            return await connection.exchange(request)
        except UpstreamBroken:
            self._drop_idle(origin)
            return await (await self._acquire(origin, careful=False)).exchange(request)

    async def close(self) -> None:
        """Close every connection, busy ones too."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._connections):
            connection.close()
        await asyncio.sleep(0)

    def end(self) -> None:
        """Let each answer under way count as complete where it is, and open no more connections: for answers that
        never end by themselves."""
        self._closed = True
        for connection in list(self._connections):
            connection.end()

    def counts(self, origin: Origin) -> tuple[int, int]:
        """How many connections to `origin` are open, and how many of them are idle."""
        lane = self._lanes.get(origin)
        return (lane.open, len(lane.idle)) if lane else (0, 0)

    def lane(self, origin: Origin) -> Lane:
        """The connections to `origin`."""
        found = self._lanes.get(origin)
        if found is None:
            found = self._lanes[origin] = Lane(origin, self._breaker_of(origin))
        return found

    # --- handing out ----------------------------------------------------------------------------------------------

    async def _acquire(self, origin: Origin, *, careful: bool) -> Connection:
        lane = self.lane(origin)
        while True:
            connection = lane.take(monotonic(), careful=careful)
            if connection is not None:
                return connection
            if lane.open < self.limits.max_connections:
                return await self._connect(origin, lane)
            handed = await self._wait(origin, lane)
            if handed is not None and handed.is_usable(monotonic()):
                return handed

    async def _connect(self, origin: Origin, lane: Lane) -> Connection:
        if self._closed:
            raise UpstreamUnreachable("the pool is closed")
        loop = asyncio.get_running_loop()
        lane.open += 1
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, origin, lane), origin.host, origin.port
                )
        except (OSError, TimeoutError) as error:
            lane.breaker.failed(monotonic())
            self._free(lane)
            reason = str(error) or "no answer in time"
            raise UpstreamUnreachable(f"cannot connect to {origin.host}:{origin.port}: {reason}") from error
        except BaseException:
            self._free(lane)
            raise
        if connection.lost or self._closed:
            connection.close()
            lane.breaker.failed(monotonic())
            self._free(lane)
            raise UpstreamUnreachable(f"{origin.host}:{origin.port} closed the connection before it was used")
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return connection

    async def _wait(self, origin: Origin, lane: Lane) -> Connection | None:
        if len(lane.waiting) >= self.limits.max_waiting:
            raise UpstreamBusy(f"too many requests wait for {origin.host}:{origin.port}")
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(turn)
        try:
            async with asyncio.timeout(self.limits.first_byte_seconds):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on(lane, turn.result())
            if isinstance(error, TimeoutError):
                raise UpstreamBusy(f"no free connection to {origin.host}:{origin.port} in time") from error
            raise

    def _pass_on(self, lane: Lane, connection: Connection | None) -> None:
        while lane.waiting:
            turn = lane.waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is not None:
            lane.idle.append(connection)

    def _free(self, lane: Lane) -> None:
        lane.open -= 1
        self._pass_on(lane, None)

    def _drop_idle(self, origin: Origin) -> None:
        lane = self._lanes[origin]
        while lane.idle:
            lane.idle.pop().close()

    # --- called by connections ------------------------------------------------------------------------------------

    def on_idle(self, connection: Connection) -> None:
        """Keep `connection` for the next request, or give it to who waits."""
        if self._closed:
            connection.close()
            return
        lane = connection.lane
        if lane.waiting:
            self._pass_on(lane, connection)
        else:
            lane.idle.append(connection)

    def on_closed(self, connection: Connection) -> None:
        """Forget `connection`."""
        if connection not in self._connections:
            return  # lost before the pool heard that it was made; `_connect` counts it
        self._connections.discard(connection)
        lane = connection.lane
        if connection in lane.idle:
            lane.idle.remove(connection)
        self._free(lane)

    def _sweep(self) -> None:
        now = monotonic()
        for connection in list(self._connections):
            if now > connection.deadline:
                connection.time_out()
        for lane in self._lanes.values():
            while lane.idle and not lane.idle[0].is_usable(now):
                lane.idle.popleft().close()
        self._sweeper = None
        if self._connections:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
