"""uvicorn's httptools protocol with what it lacks at an edge: caps and deadlines before and after a request, and
problem documents for what is not HTTP. Source: RFC 9112 section 9.5 (time-outs) and 9.6 (lingering close).

States of a connection, as far as it is read (`_between`, `_in_head`, `_in_body`, `_refused`):

- *between* requests: closed when quiet for `timeout_keep_alive` seconds. Bytes that begin a request line → *head*.
- *head*: has `head_seconds` and `max_header_bytes`. Complete → *body*; late, too large or no HTTP → *refused*.
- *body*: its reader sets the pace and the deadline. Complete → *between*. Answered before it is complete: what still
  comes is dropped for a moment, then the connection closes.
- *refused*: the problem is said, what still comes is dropped for a moment, then the connection closes.

How it is written: uvicorn's `cycle` answers, those behind it wait in its `pipeline`; who does not read for
`stall_seconds` is cut off.
"""

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from chassis.errors import BadRequest, DomainError, Unavailable
from chassis.problems import MEDIA_TYPE
from chassis.telemetry import request_id_from
from gateway.answers import problem_bytes
from gateway.connections import Connections
from gateway.cors import Cors
from gateway.errors import HeadersTooLarge, RequestTimeout
from gateway.fields import DefaultFields
from gateway.lines import REQUEST_LINE, Cutter, may_begin

WHOLE = "btrst.whole"
"""In a scope, an extension of ASGI: a function of status, header lines and body that writes a whole answer at once, for
an application that has them as bytes and checked. False: it was not written, and has to be sent as messages."""

_LINGER_SECONDS = 2.0
_DEFAULTS = DefaultFields()


class EdgeProtocol(HttpToolsProtocol):
    """One client connection. The class attributes are set from the settings before the server starts."""

    max_header_bytes = 65_536
    head_seconds = 10.0
    stall_seconds = 60.0
    open_ones: Connections | None = None
    """Who counts the connections, if somebody does."""

    cors: Cors | None = None
    """Which pages may read the answers, if any may."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._between = True
        self._in_head = True
        self._in_body = False
        self._comes_whole = False
        self._held = b""
        self._cutter = Cutter()
        self._head_bytes = 0
        self._idle_bytes = 0
        self._refused = False
        self._answering: Any = None
        self._task: asyncio.Task[None] | None = None
        self.address = ""
        self.quiet_since = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first header has to come within its time too."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self.quiet_since = monotonic()
        if self.open_ones is None or self.open_ones.enter(self):
            self._await_head()
        elif self.open_ones.turn_away(self):
            self._refuse(Unavailable("Too many connections are open", code="too_many_connections"))
        else:
            transport.abort()

    def idle_since(self) -> tuple[bool, float] | None:
        """Whether it ever asked for anything, and since when it waits for a request; None while it does not."""
        if not self._between or self.transport.is_closing():
            return None
        asked = self.cycle is not None
        return (asked, self.quiet_since) if not asked or self.cycle.response_complete else None

    def close_idle(self) -> None:
        """Close it: nothing is under way."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer survives its connection."""
        if self.open_ones is not None:
            self.open_ones.leave(self)
        for timer in (self._head_timer, self._stall_timer, self._linger_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        answering, self._answering = self._answering, None
        if answering is not None and not answering.response_complete:  # uvicorn tells the last one of a pipeline only
            answering.disconnected = True
            answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser message by message, and cap what is kept of a header before it is complete."""
        if (
            self._between
            and data.find(b"\r\n\r\n") + 4 == len(data)
            and not (self._held or self._refused or self.transport.is_closing())
            and REQUEST_LINE.match(data)
        ):
            self._feed_head(data)  # a head and no more, as nearly always
            return
        if self._held:
            data, self._held, self._between = self._held + data, b"", True
        while data and not self._refused and not self.transport.is_closing():
            if self._between:
                if not REQUEST_LINE.match(data):
                    self._hold(data)
                    return
                self._cutter.begin()
            size = self._cutter.cut_body(data, self.scope["headers"]) if self._in_body else self._cutter.cut(data)
            piece, data = (data, b"") if size == len(data) else (data[:size], data[size:])
            self._idle_bytes += size
            super().data_received(piece)
            if self._in_head:
                self._count(size)
            elif self._in_body and self._idle_bytes > self.max_header_bytes:
                self._refuse(HeadersTooLarge("Too much between the parts of the body, or after them"))

    def _feed_head(self, data: bytes) -> None:
        self._cutter.begin()
        self._comes_whole = True  # so that no timer is needed
        try:
            super().data_received(data)
        finally:
            self._comes_whole = False
        if self._in_head and not self._refused:
            self._await_head()

    def _hold(self, data: bytes) -> None:
        """Keep the beginning of a request line for when the rest of it comes; refuse what cannot become one."""
        if not may_begin(data):
            self._refuse(BadRequest("A request begins with `METHOD target HTTP/1.1`", code="malformed_request"))
            return
        self._held, self._between = data, False
        self._await_head()
        self._head_bytes = 0
        self._count(len(data))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.max_header_bytes:
            self._refuse(HeadersTooLarge(f"Headers may have {self.max_header_bytes} bytes"))

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        """A header begins."""
        super().on_message_begin()
        self._between = False
        self._in_head = True
        self._head_bytes = 0
        if not self._comes_whole:
            self._await_head()

    def on_body(self, body: bytes) -> None:
        """The body goes on."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """The header is complete; what comes as trailers after the body is dropped."""
        super().on_headers_complete()
        self.end_head()
        self.headers = []
        if self.parser.should_upgrade():  # what comes after it may be anything
            self.cycle.keep_alive = False

    def end_head(self) -> None:
        """The header came in time."""
        self._in_head = False
        self._in_body = True
        self._idle_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """A request's turn has come."""
        self._answering = cycle
        cycle.scope[WHOLE] = self._write_whole  # type: ignore[literal-required]
        # Kept here and not in uvicorn's set, which costs a callback a request: connections are waited for at the end.
        self._task = self.loop.create_task(cycle.run_asgi(app))

    def default_fields(self) -> bytes:
        """What the server says in every answer: the date, and at the end that the connection closes."""
        return _DEFAULTS.lines(self.server_state.default_headers)

    def _write_whole(self, status: int, lines: bytes, body: bytes) -> bool:
        """See `WHOLE`; what uvicorn's cycle does with the two messages of an answer with a length."""
        cycle = self._answering
        if (
            cycle is None
            or cycle.disconnected
            or cycle.response_started
            or not cycle.keep_alive
            or self.flow.write_paused
        ):
            return False
        defaults = self.default_fields()
        if b"connection" in defaults:
            return False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[status], defaults, lines, body))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._between = True
        self._in_body = False
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: a timer for each request costs more than one that looks, when it rings, how long it was quiet."""

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing has come for long; who was answered meanwhile gets the rest of it."""
        self.timeout_keep_alive_task = None
        rest = self.quiet_since + self.timeout_keep_alive - monotonic()
        if not (self._between and self.cycle.response_complete):  # those have deadlines of their own
            rest = self.timeout_keep_alive
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def on_response_complete(self) -> None:
        """Answered before the body was there: take the rest for a moment, lest a reset overtake the answer."""
        self.quiet_since = monotonic()
        if self.pipeline or self.timeout_keep_alive_task is None:
            super().on_response_complete()
        else:  # what uvicorn does, but for its timer
            self.server_state.total_requests += 1
            if not self.transport.is_closing():
                self.flow.resume_reading()
        if (
            self._in_body
            and self.cycle.response_complete
            and not self.transport.is_closing()
            and self._linger_timer is None
        ):
            self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        """The client reads slower than we write; it may not do so for ever."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused."""
        self._refuse(BadRequest(msg, code="malformed_request"))

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(RequestTimeout("The header took too long", code="header_timeout"))
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: DomainError) -> None:
        """Answer with `error` and close, but go on taking what comes for a moment, so that the answer is read."""
        if self._refused or self.transport.is_closing():
            return
        self._refused, self._between = True, False
        if self.pipeline and self._in_body:  # what is wrong has not had its turn, and will not
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._answering
            self._in_body = False
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and not self._in_body:  # what is wrong came after the request that is being answered
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if busy and self.cycle.response_started:
            self.transport.close()
            return
        if busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._write_problem(error)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _write_problem(self, error: DomainError) -> None:
        request_id = request_id_from(None)
        body = problem_bytes(error, instance="", request_id=request_id)
        fields = (
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n"
        )
        fields += "".join(f"{name.lower()}: {value}\r\n" for name, value in error.headers.items())
        self.transport.write(STATUS_LINE[error.status] + fields.encode("ascii") + self._extra() + b"\r\n" + body)

    def _extra(self) -> bytes:
        """What every answer gets, as far as it is known from whose page the request is."""
        if self.cors is None:
            return b""
        received = () if self.scope is None else self.scope["headers"]
        origins = [value for name, value in received if name == b"origin"]
        return self.cors.fields_for(origins[0] if len(origins) == 1 else None).lines
