"""The lane: requests for the services go from the parser to the upstream pool and back, below ASGI.

What a request needs in order to take it: it is for a route of the table, nothing is wrong with it, its body (up to
64 KiB) came with its head, its token was verified before, and an upstream connection is idle. That is nearly every
request of a busy gateway. Every other one is handed to the ASGI plane of the same connection, which knows how to wait:
for a token's key, for a service that restarts, for a long body, and how to refuse. ADR 19 says why, and how to leave.

States of a connection: uvicorn's own. `cycle` is what answers now, an `Exchange` or uvicorn's `RequestResponseCycle`;
what is parsed while it is not complete waits in uvicorn's `pipeline`.
"""

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chassis import tracing
from chassis.upstreams.messages import write_head
from gateway.edge import Inbound
from gateway.exchange import Exchange
from gateway.prepared import REQUEST_LINE, Prepared, prepare
from gateway.protocol import EdgeProtocol

if TYPE_CHECKING:
    from gateway.app import Gateway

BODY_BYTES = 65_536
ADMITTED = "btrst.admitted"
"""In a scope: the request was counted and let in already."""

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
        self._prepared: Prepared | None = None
        self._received: list[tuple[bytes, bytes]] = []

    def default_fields(self) -> bytes:
        """What the server says in every answer: the date, and at the end that the connection closes."""
        return self.gateway.default_fields(self.server_state.default_headers)

    def data_received(self, data: bytes) -> None:
        """The next request of a known shape goes straight on; the parser reads every other."""
        prepared = self._prepared
        if prepared is not None and self._between and data.endswith(prepared.section) and self._repeat(data, prepared):
            return
        was_between, self._sent = self._between, None
        super().data_received(data)
        if self._collecting is not None and not self._refused:  # it did not come whole
            self.hand_over(self._collecting)
        elif was_between and self._between and self._sent is not None:
            self._prepared = prepare(data, self._sent.inbound, self._received)

    def _repeat(self, data: bytes, prepared: Prepared) -> bool:
        """Send a request whose header section is known; False when the parser has to look."""
        before, gateway = self.cycle, self.gateway
        line = REQUEST_LINE.fullmatch(data, 0, len(data) - len(prepared.section))
        if line is None or not before.response_complete or self.transport.is_closing():
            return False
        target = line.group(1)
        path = target.partition(b"?")[0]
        operations = gateway.table.find(path)
        operation = operations.get("GET") if operations is not None else None
        if operation is None or len(target) > gateway.settings.max_target_bytes:
            return False
        connection = gateway.enter(prepared.token, prepared.client, operation)
        if connection is None:
            return False
        self._unset_keepalive_if_required()
        request_id, traceparent = tracing.fresh_ids()
        span = tracing.begin_request("GET", path.decode("ascii"), None) if tracing.is_on() else None
        if span is not None:
            traceparent = span.traceparent
        inbound = Inbound("GET", target, path, request_id, traceparent, prepared.host, prepared.peer, prepared.client)
        inbound.span = span
        exchange = Exchange(self, None, operation, keep_alive=True)
        exchange.more_body = False
        self.cycle = exchange  # type: ignore[assignment]  # in uvicorn's eyes
        ids = b"x-request-id: %b\r\ntraceparent: %b\r\n\r\n" % (request_id.encode(), traceparent.encode())
        line_and_host = b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (target, connection.authority)
        exchange.send(inbound, connection, line_and_host + prepared.onward + ids)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads the answer any more."""
        for cycle in (self.cycle, self._answering):
            if isinstance(cycle, Exchange):
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
            if isinstance(self.cycle, Exchange):  # this one may have to wait behind it
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
        if self.expect_100_continue or (before is not None and not before.response_complete):
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
        inbound = gateway.edge.read(exchange.scope)
        if inbound.fault is not None or len(body) > BODY_BYTES:
            return False
        connection = gateway.enter(inbound.token, inbound.client, operation)
        if connection is None:
            return False
        method = operation.method.encode("ascii")
        framing = b"content-length: %d\r\n" % len(body) if body or method != b"GET" else b""
        try:
            head = write_head(method, inbound.target, inbound.headers, framing, connection.authority)
        except ValueError:
            gateway.turn_back(connection)
            return False
        exchange.send(inbound, connection, head + body)
        self._sent = exchange
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
