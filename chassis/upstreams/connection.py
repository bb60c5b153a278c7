"""One HTTP/1.1 connection to an upstream: an asyncio protocol around the httptools parser."""

import asyncio
import select
from collections.abc import AsyncIterable
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from chassis.upstreams.messages import (
    Origin,
    PoolLimits,
    UpstreamBroken,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRequest,
    UpstreamTimeout,
    encode_head,
)
from chassis.upstreams.response import UpstreamResponse
from chassis.upstreams.whole import read_whole

if TYPE_CHECKING:
    from chassis.upstreams.pool import Lane

_NEVER = float("inf")


class Owner(Protocol):
    """The pool, as its connections see it."""

    limits: PoolLimits

    def on_idle(self, connection: "Connection") -> None:
        """The exchange is over; the connection can carry another."""

    def on_closed(self, connection: "Connection") -> None:
        """The connection is gone."""


class Connection(asyncio.Protocol):
    """One connection to an upstream, which carries one exchange after the other."""

    def __init__(self, pool: Owner, origin: Origin, lane: "Lane") -> None:
        self.origin = origin
        self.authority = origin.authority
        self.lane = lane
        self._breaker = lane.breaker
        self.deadline = _NEVER
        self.idle_since = 0.0
        self.reused = False
        self.gone = False
        """Whether it is lost, or closed by us; it carries nothing any more."""

        self._pool = pool
        self._limits = pool.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made
        self._parser = httptools.HttpResponseParser(self)
        self._response: UpstreamResponse | None = None
        self._pump: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._raw_bytes = 0  # of this answer, while the parser has it
        self._header_bytes = 0
        self._without_body = False
        self._until_eof = False
        self._keep_alive = False
        self._reading_paused = False
        self.lost = False

    # --- one exchange ---------------------------------------------------------------------------------------------

    async def exchange(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send `request` and wait for the answer's head. Raises: UpstreamError, or what the body raises."""
        response = UpstreamResponse(self)
        try:
            head = encode_head(request, self.authority)
            if isinstance(request.body, bytes):
                self.begin(response, head + request.body, method=request.method, now=monotonic())
            else:
                self.begin(response, head, method=request.method, now=monotonic())
                self._pump = self._loop.create_task(self._send_body(request.body, request.content_length))
            await response.head()
        except BaseException:
            self.close()
            raise
        return response

    def begin(self, response: UpstreamResponse, message: bytes, *, method: bytes, now: float) -> None:
        """Send `message`; what comes back goes to `response`. `now` is monotonic."""
        self._response = response
        self._raw_bytes = 0
        self._header_bytes = 0
        self._without_body = method == b"HEAD"
        self._until_eof = False
        self.deadline = now + self._limits.first_byte_seconds
        self._transport.write(message)

    def hand_on(self, response: UpstreamResponse, successor: UpstreamResponse) -> None:
        """Let `successor` have what was to go to `response`."""
        if response is self._response:
            self._response = successor

    async def _send_body(self, body: AsyncIterable[bytes], length: int | None) -> None:
        sent = 0
        self.deadline = _NEVER  # the body's source has its own deadline
        try:
            async for part in body:
                if not part:
                    continue
                sent += len(part)
                if length is not None and sent > length:
                    raise ValueError("the body is longer than its content length")
                self._transport.write(part if length is not None else b"%x\r\n%b\r\n" % (len(part), part))
                await self._drain()
            if length is None:
                self._transport.write(b"0\r\n\r\n")
            elif sent != length:
                raise ValueError("the body is shorter than its content length")
        except Exception as error:
            self._fail(error)
            return
        if self._response is not None and not self._response.head_done:
            self._expect_progress(self._limits.first_byte_seconds)

    async def _drain(self) -> None:
        if self._writable is not None:
            self._expect_progress(self._limits.idle_seconds)
            await self._writable
            self.deadline = _NEVER

    def give_back(self) -> None:
        """Return a connection that was taken and not used."""
        self._pool.on_idle(self)

    def on_taken(self, response: UpstreamResponse) -> None:
        """Go on reading if the buffer of this connection's answer was full."""
        if self._reading_paused and response is self._response and not self.lost:
            self._reading_paused = False
            self._expect_progress(self._limits.idle_seconds)
            self._transport.resume_reading()

    def abandon(self, response: UpstreamResponse) -> None:
        """Close, if `response` is what this connection is busy with."""
        if response is self._response:
            self.close()

    def _expect_progress(self, seconds: float) -> None:
        self.deadline = monotonic() + seconds

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; hand the connection back once the answer is complete; then let the reader look."""
        response = self._response
        if response is None:
            self.close()  # nothing was asked
            return
        if not self._raw_bytes and not self._without_body:
            whole = read_whole(data, response.echo)
            if whole is not None and len(data) - whole[0].length <= self._limits.max_head_bytes:
                if self._breaker.failures:
                    self._breaker.succeeded()
                if self._pump is None:
                    self._response = None
                    self._be_idle()
                else:
                    self._keep_alive = True
                    self._finish()
                response.put_whole(*whole)
                return
            response = self._response = response.in_parts()
        self._raw_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(UpstreamMalformed(f"{self.origin.host}:{self.origin.port} sent no valid HTTP: {error}"))
            return
        if response.done:
            self._finish()
        elif response.head_done:
            if not self._reading_paused:
                self._expect_progress(self._limits.idle_seconds)
        elif max(self._raw_bytes, self._header_bytes) > self._limits.max_head_bytes:
            self._fail(UpstreamMalformed("the header of the answer is too large"))
        response.wake()

    def eof_received(self) -> None:
        """An answer without a length ends here."""
        response = self._response
        if response is not None and response.head_done and self._until_eof:
            response.done = True
            response.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was under way, and tell the pool."""
        self.lost = self.gone = True
        self._fail(UpstreamBroken(f"{self.origin.host}:{self.origin.port} closed the connection: {exc or 'end'}"))
        self.resume_writing()
        self._pool.on_closed(self)

    def pause_writing(self) -> None:
        """The upstream reads slower than we write."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The upstream has caught up, or is gone."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    # --- httptools ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Bytes after a complete answer were never asked for."""
        if self._response is None or self._response.done:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; trailers are dropped."""
        response = self._response
        if response is not None and not response.head_done:
            response.headers.append((name.lower(), value))
            self._header_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """The head is complete, unless it is an interim one (1xx)."""
        response = self._response
        if response is None or response.done or self._header_bytes > self._limits.max_head_bytes:
            return
        status = self._parser.get_status_code()
        if status < 200:
            response.headers = []
            return
        response.status = status
        self._keep_alive = self._parser.should_keep_alive()
        framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in response.headers)
        self._until_eof = not framed and not self._without_body and status not in (204, 304)
        response.head_done = True
        if self._breaker.failures:
            self._breaker.succeeded()
        if self._without_body:  # the parser does not know that the request was a HEAD
            self._parser = httptools.HttpResponseParser(self)
            response.done = True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, and stop reading while the buffer is full."""
        response = self._response
        if response is None or response.done:
            self._keep_alive = False
            return
        if response.put(body) > self._limits.buffer_bytes and not self._reading_paused:
            self._reading_paused = True
            self.deadline = _NEVER  # now the reader is the slow one
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is complete, unless it was an interim one."""
        response = self._response
        if response is not None and response.head_done:
            response.done = True

    # --- the end of an exchange -----------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._response = None
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        pump, self._pump = self._pump, None
        if not self._keep_alive or (pump is not None and not pump.done()):
            if pump is not None:
                pump.cancel()
            self.close()
            return
        self._be_idle()

    def _be_idle(self) -> None:
        self.deadline = _NEVER
        self.reused = True
        self.idle_since = monotonic()
        self._pool.on_idle(self)

    def _fail(self, error: BaseException) -> None:
        response, self._response = self._response, None
        if response is not None:
            if _is_failure(error, is_first=not self.reused, has_begun=response.head_done):
                self._breaker.failed(monotonic())
            response.fail(error)
        self.close()

    def close(self) -> None:
        """Drop the connection at once, with whatever it carries."""
        self.deadline = _NEVER
        self.gone = True
        response, self._response = self._response, None
        if response is not None:
            response.fail(UpstreamBroken("the exchange was given up"))
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
        if self._transport is not None and not self.lost:
            self._transport.abort()

    def end(self) -> None:
        """Drop the connection; an answer that has begun counts as complete where it is."""
        response = self._response
        if response is not None and response.head_done:
            self._response = None
            response.done = True
            response.wake()
        self.close()

    def time_out(self) -> None:
        """Fail what is under way because its deadline has passed."""
        self._fail(UpstreamTimeout(f"{self.origin.host}:{self.origin.port} did not answer in time"))

    def is_usable(self, now: float) -> bool:
        """Whether it is open and was not idle for so long that the upstream may be about to close it."""
        return not self.gone and now - self.idle_since < self._limits.keep_alive_seconds

    def is_quiet(self) -> bool:
        """Whether the kernel holds no end of stream or stray bytes of the upstream that we have not read yet."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)


def _is_failure(error: BaseException, *, is_first: bool, has_begun: bool) -> bool:
    """Whether the breaker should know: see there. What the request's own body raised is the caller's affair."""
    if isinstance(error, UpstreamBroken):
        return is_first and not has_begun
    return isinstance(error, UpstreamError)
