"""The addresses of one service, and which of them the next request goes to.

The one with the fewest requests under way among those whose breaker is closed; the addresses take turns at being the
first of equals. An address whose cool-down has passed gets one request as a probe, ahead of the others.
"""

from collections.abc import Collection, Sequence

from chassis.upstreams.connection import Connection
from chassis.upstreams.messages import Origin, UpstreamOpen
from chassis.upstreams.pool import Lane


class Upstream:
    """A service behind one address or several, all of them in one pool."""

    __slots__ = ("_lanes", "_only", "_turn", "name")

    def __init__(self, name: str, lanes: Sequence[Lane]) -> None:
        if not lanes:
            raise ValueError(f"{name} has no address")
        self.name = name
        self._lanes = tuple(lanes)
        self._only = lanes[0] if len(lanes) == 1 else None
        self._turn = 0

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All of its addresses."""
        return tuple(lane.origin for lane in self._lanes)

    def idle_connection(self, now: float, *, careful: bool) -> Connection | None:
        """A connection that can be written to at once, to the address that is next; None when that one has none, or
        when it is time for a probe. `now` is monotonic; see `Lane.take`."""
        only = self._only
        if only is not None:
            return only.take(now, careful=careful) if only.breaker.is_closed else None
        if any(other.breaker.is_due(now) for other in self._lanes):
            return None
        lane = self._least_busy(())
        connection = None if lane is None else lane.take(now, careful=careful)
        if lane is not None and connection is not None:
            self._go_on(lane)
        return connection

    def choose(self, now: float, tried: Collection[Origin] = (), *, is_safe: bool) -> Origin:
        """Where the next request goes; those of `tried` come last. `now` is monotonic.

        What is not safe to send twice is a probe only when there is no other choice: a probe may be left without an
        answer. Raises: UpstreamOpen when every breaker is open; it says in how many seconds there may be a chance.
        """
        if is_safe and (probed := self._probe(now, tried)):
            return probed
        lane = self._least_busy(tried) or self._least_busy(())
        if lane is not None:
            self._go_on(lane)
            return lane.origin
        if probed := self._probe(now, ()):
            return probed
        left = min(lane.breaker.seconds_left(now) for lane in self._lanes)
        raise UpstreamOpen(f"no address of {self.name} answers; the next attempt is in {left:.1f} s", seconds=left)

    def has_other(self, tried: Collection[Origin]) -> bool:
        """Whether there is an address with a closed breaker that is not among `tried`."""
        return any(lane.breaker.is_closed and lane.origin not in tried for lane in self._lanes)

    def _probe(self, now: float, tried: Collection[Origin]) -> Origin | None:
        for lane in self._lanes:
            if lane.origin not in tried and lane.breaker.is_due(now) and lane.breaker.admits(now):
                return lane.origin
        return None

    def _least_busy(self, tried: Collection[Origin]) -> Lane | None:
        lanes, turn, least, found = self._lanes, self._turn, 0, None
        for lane in lanes[turn:] + lanes[:turn]:
            busy = lane.open - len(lane.idle)
            if (found is None or busy < least) and lane.breaker.is_closed and lane.origin not in tried:
                least, found = busy, lane
        return found

    def _go_on(self, lane: Lane) -> None:
        """`lane` had its turn."""
        if self._only is None:
            self._turn = (self._lanes.index(lane) + 1) % len(self._lanes)
