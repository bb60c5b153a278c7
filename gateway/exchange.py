"""One request on the lane: from its complete message to the service's answer, without a task or a future.

States: *collecting* (its body comes in) → *sent* (on an upstream connection) → *answering* (the head is out)
→ *complete*. From *collecting*, and from *sent* when a kept-alive connection proves dead, it may be handed to the ASGI
plane, which knows how to wait and to try again. The client may be lost at any time: then the upstream connection is
dropped, since what it still carries has no reader.

uvicorn sees it as the connection's cycle: the names that uvicorn reads and writes are its own.
"""

from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from chassis.errors import DomainError
from chassis.upstreams import UpstreamBroken, UpstreamError, UpstreamMalformed, UpstreamResponse
from chassis.upstreams.connection import Connection
from chassis.upstreams.whole import Head
from gateway.answers import as_problem, is_plain_text, passed, problem_answer, returned_headers, unavailable
from gateway.edge import Inbound
from gateway.table import Operation

if TYPE_CHECKING:
    from gateway.lane import LaneProtocol


class NoEvent:
    """What uvicorn rings for a reader of the body; nobody reads one here."""

    def set(self) -> None:
        """Nothing."""


NO_EVENT = NoEvent()


class _Nobody:
    """The connection of an exchange that has none yet."""

    def on_taken(self, response: UpstreamResponse) -> None:
        """Nothing was taken."""

    def abandon(self, response: UpstreamResponse) -> None:
        """Nothing to give up."""


NOWHERE = _Nobody()


class Exchange(UpstreamResponse):
    """A request, and the service's answer to it: `wake` and `fail` come from the upstream connection."""

    __slots__ = (
        "_chunked", "_lines", "_protocol", "_reused", "_started_at", "body", "disconnected", "inbound", "is_sent",
        "keep_alive", "message_event", "more_body", "operation", "response_complete", "response_started", "scope",
    )  # fmt: skip

    def __init__(self, protocol: "LaneProtocol", scope: Any, operation: Operation, *, keep_alive: bool) -> None:
        super().__init__(NOWHERE)
        self.scope = scope
        self.operation = operation
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.message_event = NO_EVENT
        self.is_sent = False
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.inbound: Inbound = None  # type: ignore[assignment]  # set by `send`
        self._protocol = protocol
        self._reused = False
        self._chunked = False
        self._started_at = 0.0
        self._lines: bytes | None = None

    # --- to the service -------------------------------------------------------------------------------------------

    def send(self, inbound: Inbound, connection: Connection, message: bytes) -> None:
        """Send the request on an idle connection; the answer comes by `wake`, or `fail`."""
        now = monotonic()
        self.adopt(inbound, connection, reused=connection.reused, started_at=now)
        connection.begin(self, message, method=self.operation.method.encode("ascii"), now=now)

    def adopt(self, inbound: Inbound, connection: Connection, *, reused: bool, started_at: float) -> None:
        """Be the exchange of a request that is on `connection`. `started_at` is monotonic."""
        self.inbound = inbound
        self.is_sent = True
        self._connection = connection
        self._reused = reused
        self._started_at = started_at

    def lose_client(self) -> None:
        """The client is gone: so is the upstream connection, unless it is through already."""
        if self.is_sent and not self.response_complete:
            self.response_complete = True
            self.close()
            self._account(499)

    # --- from the service -----------------------------------------------------------------------------------------

    def put_whole(self, head: Head, body: bytes) -> None:
        """Keep the header lines as they are, unless they have to be looked into."""
        if head.status < 400:
            self.status = head.status
            self._lines = passed(head).lines
            self.head_done = self.done = True
            self._parts.append(body)
            self.wake()
        else:
            super().put_whole(head, body)

    def wake(self) -> None:
        """Pass on what has come. While the client reads slowly, what comes waits, and then so does the service."""
        if self.response_complete or not self.head_done:
            return
        protocol = self._protocol
        if protocol.transport.is_closing():  # the client left in this very turn of the loop
            self.lose_client()
            return
        if self._lines is not None:
            self._pass_whole(self._lines)
            return
        if self.response_started:
            if protocol.flow.write_paused and not self.done:
                return
            message = self._framed(self.take())
        else:
            if self.status >= 400 and is_plain_text(self.headers):
                self.refuse(as_problem(self.status))
                return
            head = self._head()
            if not head:
                return
            self.response_started = True
            message = head + self._framed(self.take())
        if message:
            protocol.transport.write(message)
        if self.done:
            self._complete(self.status)

    def _pass_whole(self, lines: bytes) -> None:
        """A complete answer with a length, in one write."""
        inbound = self.inbound
        more = inbound.extra.lines if self.keep_alive else inbound.extra.lines + b"connection: close\r\n"
        self.response_started = True
        self._protocol.transport.write(
            b"%b%b%bx-request-id: %b\r\ntraceparent: %b\r\n%b\r\n%b"
            % (
                STATUS_LINE[self.status],
                self._protocol.default_fields(),
                lines,
                inbound.request_id.encode("ascii"),
                inbound.traceparent.encode("ascii"),
                more,
                self._parts[0],
            )
        )
        self._complete(self.status)

    def _head(self) -> bytes:
        """The head of the answer to the client; empty when the service's cannot be passed on."""
        status, inbound = self.status, self.inbound
        headers = returned_headers(inbound, status, self.headers)
        if not self.keep_alive and not inbound.close:
            headers.append((b"connection", b"close"))
        without_body = inbound.method == "HEAD" or status in (204, 304)
        self._chunked = not without_body and all(name != b"content-length" for name, _ in headers)
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        head = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers) or b"\0" in head:
            self.refuse(_unusable(self.operation))
            return b""
        return STATUS_LINE[status] + self._protocol.default_fields() + head + b"\r\n"

    def _framed(self, part: bytes) -> bytes:
        if not self._chunked:
            return part
        framed = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        return framed + b"0\r\n\r\n" if self.done else framed

    def fail(self, error: BaseException) -> None:
        """The exchange broke: try again on the ASGI plane if that does no harm, else say so."""
        if self.done or self.response_complete:
            return
        if self.response_started:
            self.response_complete = True
            self._account(0)
            self._protocol.transport.close()  # all that is left is to end without completing it
            return
        repeatable = self.operation.method == "GET" and not self.body
        if repeatable and self._reused and isinstance(error, UpstreamBroken):
            self._protocol.hand_over(self, admitted=True)
            return
        broken = error if isinstance(error, UpstreamError) else UpstreamBroken(str(error))
        self.refuse(unavailable(self.operation.service, broken, repeatable=repeatable))

    # --- the end --------------------------------------------------------------------------------------------------

    def refuse(self, error: DomainError) -> None:
        """Answer with a problem document, and drop what the service still sends."""
        headers, body = problem_answer(self.inbound, error)
        if not self.keep_alive and not self.inbound.close:
            headers.append((b"connection", b"close"))
        self.response_started = True
        head = STATUS_LINE[error.status] + self._protocol.default_fields()
        head += b"".join([b"%b: %b\r\n" % pair for pair in headers])
        self._protocol.transport.write(head + b"\r\n" + (b"" if self.inbound.method == "HEAD" else body))
        self.close()
        self._complete(error.status)

    def _complete(self, status: int) -> None:
        self.response_complete = True
        self._account(status)
        protocol = self._protocol
        if not self.keep_alive or self.inbound.close:
            protocol.transport.close()
        protocol.on_response_complete()

    def _account(self, status: int) -> None:
        self._protocol.gateway.leave(self.inbound, self.operation.path, status, monotonic() - self._started_at)


def _unusable(operation: Operation) -> DomainError:
    error = UpstreamMalformed("a header of the answer contains a line break or NUL")
    return unavailable(operation.service, error, repeatable=operation.method == "GET")
