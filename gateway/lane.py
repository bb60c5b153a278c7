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

from chassis.upstreams.messages import write_head
from gateway.exchange import Exchange
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

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What the server says in every answer: the date, and at the end that the connection closes."""
        headers: list[tuple[bytes, bytes]] = self.server_state.default_headers
        return headers

    def data_received(self, data: bytes) -> None:
        """A request that did not come whole is not for the lane."""
        super().data_received(data)
        if self._collecting is not None and not self._refused:
            self.hand_over(self._collecting)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads the answer any more."""
        if isinstance(self.cycle, Exchange):
            self.cycle.lose_client()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The client has caught up: what has come meanwhile goes on."""
        super().resume_writing()
        if isinstance(self.cycle, Exchange):
            self.cycle.wake()

    def on_headers_complete(self) -> None:
        """Begin an exchange, if this request may take the lane; else let uvicorn start a task for it."""
        exchange = self._exchange()
        if exchange is None:
            super().on_headers_complete()
            return
        self.end_head()
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
        connection = gateway.enter(inbound, operation)
        if connection is None:
            return False
        method = operation.method.encode("ascii")
        framing = b"content-length: %d\r\n" % len(body) if body or method != b"GET" else b""
        try:
            head = write_head(method, inbound.target, inbound.headers, framing, connection.origin.authority)
        except ValueError:
            gateway.turn_back(connection)
            return False
        exchange.send(inbound, connection, head + body)
        return True

    def hand_over(self, exchange: Exchange, *, admitted: bool = False) -> None:
        """Give the request to the ASGI plane, with what has come of its body."""
        self._collecting = None
        if admitted:
            self.gateway.turn_back(None)
            exchange.scope[ADMITTED] = True
        cycle = RequestResponseCycle(
            scope=exchange.scope,
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
        self.cycle = cycle
        self._start_asgi_task(cycle, self.app)
