"""A request of a known shape, and its answer in one piece: the shortest way through, with the fewest steps of Python.

States: *idle* → *sent* (on an upstream connection) → *idle* again, with the answer passed on. Whatever else happens (an
answer in parts, an error, a lost client or service, a connection that has to close) it becomes an `Exchange`, which
knows what to do, and is *idle* itself. A connection has one of these and uses it for each such request.

Each step was measured: between two system calls Python runs from cold caches and costs twice what a loop shows.
"""

from time import monotonic
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from chassis import tracing
from chassis.upstreams import UpstreamResponse
from chassis.upstreams.connection import Connection
from chassis.upstreams.whole import Head
from gateway.answers import passed
from gateway.exchange import NO_EVENT, NOWHERE, Exchange
from gateway.prepared import Line, Prepared

if TYPE_CHECKING:
    from gateway.lane import LaneProtocol


class Repeat(UpstreamResponse):
    """The requests of a known shape on one client connection, one after the other. For uvicorn it is a cycle."""

    __slots__ = (
        "_ids", "_line", "_prepared", "_protocol", "_reused", "_span_id", "_started_at", "_trace_id", "_upstream",
        "disconnected", "keep_alive", "message_event", "response_complete", "response_started",
    )  # fmt: skip

    def __init__(self, protocol: "LaneProtocol") -> None:
        super().__init__(NOWHERE)
        self.disconnected = False
        self.keep_alive = True
        self.message_event = NO_EVENT
        self.response_complete = True
        self.response_started = False
        self._protocol = protocol
        self._started_at = 0.0
        self._trace_id = self._span_id = self._ids = b""
        self._reused = False

    def send(self, prepared: Prepared, line: Line, request_line: bytes, connection: Connection, now: float) -> None:
        """Send the request on an idle connection; `now` is monotonic."""
        trace_id, span_id = tracing.fresh_ids()
        self._trace_id, self._span_id = trace_id, span_id
        self._ids = ids = b"x-request-id: %b\r\ntraceparent: 00-%b-%b-01" % (trace_id, trace_id, span_id)
        self.echo = b"\r\n" + ids
        self._prepared, self._line = prepared, line
        self._started_at = now
        self._upstream = connection
        self._reused = connection.reused
        self.response_complete = False
        connection.begin(
            self,
            b"%b\r\nhost: %b\r\n%b%b\r\n\r\n" % (request_line, connection.authority, prepared.onward, ids),
            method=b"GET",
            now=now,
        )

    def put_whole(self, head: Head, body: bytes) -> None:
        """Pass a complete answer on, in one write."""
        protocol, status = self._protocol, head.status
        transport = protocol.transport
        if status >= 400 or not self.keep_alive or transport.is_closing():
            self.in_parts().put_whole(head, body)
            return
        fields = head.passed
        transport.write(
            b"%b%b%b%b%b\r\n\r\n%b"
            % (
                STATUS_LINE[status],
                protocol.default_fields(),
                self._prepared.extra.lines,
                (passed(head) if fields is None else fields).lines,
                self._ids,
                body,
            )
        )
        self.response_complete = True
        now = monotonic()
        text = self._trace_id.decode("ascii")
        protocol.gateway.leave_repeated(self._line, status, now - self._started_at, text, self._prepared.client)
        protocol.on_repeat_complete(now)

    def in_parts(self) -> Exchange:
        """The same request as an exchange, which from now on is the connection's."""
        line, protocol = self._line, self._protocol
        inbound = self._prepared.inbound(line, self._trace_id, self._span_id)
        exchange = Exchange(protocol, None, line.operation, keep_alive=self.keep_alive)
        exchange.more_body = False
        exchange.adopt(inbound, self._upstream, reused=self._reused, started_at=self._started_at)
        self.response_complete = True
        protocol.put_in_place(exchange, self)
        return exchange

    def fail(self, error: BaseException) -> None:
        """The service is lost: an exchange knows whether to try again."""
        if not self.response_complete:
            self.in_parts().fail(error)

    def lose_client(self) -> None:
        """The client is gone."""
        if not self.response_complete:
            exchange = self.in_parts()
            self._upstream.hand_on(self, exchange)
            exchange.lose_client()
