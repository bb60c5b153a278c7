"""The lane: requests for the services go from the parser to the upstream pool and back, below ASGI.

What a request needs in order to take it: it is for a route of the table, nothing is wrong with it, its body (up to
64 KiB) came with its head, its token was verified before, and an upstream connection is idle. That is nearly every
request of a busy gateway. Every other one is handed to the ASGI plane of the same connection, which knows how to wait:
for a token's key, for a service that restarts, for a long body, and how to refuse. ADR 20 says why, and how to leave.

States of a connection: uvicorn's own. `cycle` is what answers now, an `Exchange` or uvicorn's `RequestResponseCycle`;
what is parsed while it is not complete waits in uvicorn's `pipeline`.
"""

import asyncio
import inspect
from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chassis import tracing
from chassis.upstreams.messages import write_head
from gateway.edge import Inbound
from gateway.exchange import Exchange
from gateway.guard import Ticket
from gateway.prepared import REQUEST_LINE, Prepared, can_repeat, prepare
from gateway.protocol import EdgeProtocol
from gateway.repeat import Repeat
from gateway.short import ADMITTED

if TYPE_CHECKING:
    from gateway.app import Gateway

BODY_BYTES = 65_536
_CYCLE_ARGUMENTS = (
    "scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers", "message_event",
    "expect_100_continue", "keep_alive", "on_response",
)  # fmt: skip
_PROTOCOL_METHODS = ("_start_asgi_task", "on_response_complete", "on_message_complete", "on_body", "resume_writing")


def why_not() -> str | None:
    """Why the lane cannot be used with the uvicorn that is installed; None when it can."""
    known = tuple(inspect.signature(RequestResponseCycle.__init__).parameters)[1:]
    if known != _CYCLE_ARGUMENTS:
        return "uvicorn's RequestResponseCycle takes other arguments"
    missing = [name for name in _PROTOCOL_METHODS if not callable(getattr(HttpToolsProtocol, name, None))]
    return f"uvicorn's HttpToolsProtocol has no {missing[0]}" if missing else None


class LaneProtocol(EdgeProtocol):
    """One client connection, whose requests take the lane when they can."""

    gateway: "Gateway"
    """Set by whoever serves, for the class."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._collecting: Exchange | None = None
        self._sent: Exchange | None = None
        self._ticket: Ticket = None  # type: ignore[assignment]  # of what was sent
        self._prepared: Prepared | None = None
        self._repeats = Repeat(self)
        self._received: list[tuple[bytes, bytes]] = []

    def data_received(self, data: bytes) -> None:
        """The next request of a known shape goes straight on; the parser reads every other."""
        prepared = self._prepared
        if (
            prepared is not None
            and data.endswith(prepared.section)
            and self._between
            and self.cycle.response_complete
            and not self.flow.write_paused
            and (line := self.gateway.lines[request_line := data[: -len(prepared.section)]]) is not None
            and line.access in prepared.fits
        ):
            now = monotonic()
            connection = self.gateway.enter(prepared.ticket, line.upstream, now)
            if connection is not None:
                self.cycle = self._repeats  # type: ignore[assignment]  # in uvicorn's eyes
                self._repeats.send(prepared, line, request_line, connection, now)
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Let the parser read; what it finds may be the shape of the next request."""
        was_between, self._sent = self._between, None
        super().data_received(data)
        if self._collecting is not None and not self._refused:  # it did not come whole
            self.hand_over(self._collecting)
        elif was_between and self._between and self._sent is not None and not tracing.is_on():
            self._prepared = self._prepare(data, self._sent)

    def _prepare(self, data: bytes, sent: Exchange) -> Prepared | None:
        """What to remember of the request in `data`; None when it says more than we can repeat."""
        start = data.find(b"\r\n")
        section = data[start:]
        if section.find(b"\r\n\r\n") != len(section) - 4 or not REQUEST_LINE.fullmatch(data, 0, start):
            return None
        if not can_repeat(sent.inbound, self._received):
            return None
        return prepare(section, sent.inbound, self._received, sent.operation, self._ticket)

    def on_repeat_complete(self, now: float) -> None:
        """What uvicorn does when a response is complete, as far as it is needed here. `now` is monotonic."""
        self.server_state.total_requests += 1
        self.quiet_since = now
        if self.pipeline or self.timeout_keep_alive_task is None:
            self.on_response_complete()

    def put_in_place(self, exchange: Exchange, repeat: Repeat) -> None:
        """Let `exchange` be what `repeat` was."""
        if self.cycle is repeat:  # type: ignore[comparison-overlap]  # else one is waiting behind it already
            self.cycle = exchange  # type: ignore[assignment]  # in uvicorn's eyes
        if self._answering is repeat:
            self._answering = exchange

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads the answer any more."""
        for cycle in (self.cycle, self._answering):
            if isinstance(cycle, Exchange | Repeat):
                cycle.lose_client()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The client has caught up: what has come meanwhile goes on."""
        super().resume_writing()
        for cycle in (self.cycle, self._answering):
            if isinstance(cycle, Exchange):
                cycle.wake()

    def on_headers_complete(self) -> None:
        """Begin an exchange, if this request may take the lane; else let uvicorn start a task for it."""
        exchange = self._exchange()
        if exchange is None:
            if isinstance(self.cycle, Exchange | Repeat):  # this one may have to wait behind it
                self._answering = self.cycle
            super().on_headers_complete()
            return
        self.end_head()
        self._received = self.headers
        self.headers = []  # what comes as trailers is dropped
        self.cycle = exchange  # type: ignore[assignment]  # in uvicorn's eyes
        self._collecting = exchange

    def on_message_complete(self) -> None:
        """The request is complete: send it."""
        super().on_message_complete()
        exchange, self._collecting = self._collecting, None
        if exchange is not None and not self._send(exchange):
            self.hand_over(exchange)

    def _exchange(self) -> Exchange | None:
        before, parser, url = self.cycle, self.parser, self.url
        if self.expect_100_continue or self.flow.write_paused or (before is not None and not before.response_complete):
            return None
        if parser.get_http_version() != "1.1" or parser.should_upgrade() or self.limit_concurrency is not None:
            return None
        path, _, query = url.partition(b"?")
        operations = self.gateway.table.find(path)
        if operations is None or b"#" in url:
            return None
        method = parser.get_method().decode("ascii")
        operation = operations.get(method)
        if operation is None:
            return None
        scope = self.scope
        scope["method"] = method
        scope["path"] = path.decode("ascii")
        scope["raw_path"] = path
        scope["query_string"] = query
        return Exchange(self, scope, operation, keep_alive=parser.should_keep_alive())

    def _send(self, exchange: Exchange) -> bool:
        """Send it, if nothing stands in the way."""
        gateway, operation, body = self.gateway, exchange.operation, bytes(exchange.body)
        inbound, now = gateway.edge.read(exchange.scope), monotonic()
        inbound.extra += operation.notice
        if inbound.fault is not None or (body and len(body) > min(BODY_BYTES, gateway.settings.max_body_bytes)):
            return False
        ticket = gateway.ticket(inbound, operation, now)
        upstream, careful = gateway.upstream_of(operation), operation.method != "GET"
        connection = None if ticket is None else gateway.enter(ticket, upstream, now, careful=careful)
        if ticket is None or connection is None:
            return False
        method = operation.method.encode("ascii")
        framing = b"content-length: %d\r\n" % len(body) if body or method != b"GET" else b""
        try:
            head = write_head(method, inbound.target, inbound.headers, framing, connection.authority)
        except ValueError:
            gateway.turn_back(connection)
            return False
        exchange.send(inbound, connection, head + body)
        if not operation.notice.pairs:  # the next request of its shape may be for a route that has nothing to say
            self._sent, self._ticket = exchange, ticket
        return True

    def hand_over(self, exchange: Exchange, *, admitted: bool = False) -> None:
        """Give the request to the ASGI plane, with what has come of its body."""
        self._collecting = None
        scope = exchange.scope or self._scope_of(exchange.inbound)
        if admitted:
            self.gateway.turn_back(None)
            scope[ADMITTED] = True
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=exchange.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body = exchange.body
        cycle.more_body = exchange.more_body
        if cycle.body or not cycle.more_body:
            cycle.message_event.set()
        if self.cycle is exchange:  # type: ignore[comparison-overlap]  # else one is waiting behind it already
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def _scope_of(self, inbound: Inbound) -> Any:
        """The ASGI scope of a request that the parser never saw."""
        assert self._prepared is not None
        begun = self.url, self.expect_100_continue, self.headers, self.scope  # the parser may be within the next one
        HttpToolsProtocol.on_message_begin(self)
        scope: Any = self.scope
        self.url, self.expect_100_continue, self.headers, self.scope = begun
        scope["method"] = inbound.method
        scope["path"] = inbound.raw_path.decode("ascii")
        scope["raw_path"] = inbound.raw_path
        scope["query_string"] = inbound.target.partition(b"?")[2]
        scope["headers"] = self._prepared.received
        return scope
