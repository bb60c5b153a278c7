"""The data plane: from an admitted request to the service's answer, streaming both ways."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic

from starlette.types import Receive, Send

from chassis.errors import DomainError, TooManyRequests
from chassis.upstreams import (
    Origin,
    Upstream,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamOpen,
    UpstreamPool,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamUnreachable,
)
from gateway.answers import as_problem, is_plain_text, returned_headers, send_problem, unavailable
from gateway.bodies import InboundBody
from gateway.edge import Inbound
from gateway.errors import ClientGone, VersionTooOld
from gateway.settings import GatewaySettings
from gateway.table import Operation
from gateway.watch import Watches

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.4
_WHOLE_BYTES = 1_048_576


class Proxy:
    """Sends requests to the services that own their operations."""

    def __init__(
        self,
        pool: UpstreamPool,
        streams: UpstreamPool,
        origins: Mapping[str, Sequence[Origin]],
        settings: GatewaySettings,
    ) -> None:
        self._pool = pool
        self._streams = streams
        self._upstreams = _upstreams(pool, origins)
        self._stream_upstreams = _upstreams(streams, origins)
        self._settings = settings
        self.watches = Watches()

    async def forward(self, inbound: Inbound, operation: Operation, receive: Receive, send: Send) -> int:
        """Answer `inbound` with what the service says; returns the status.

        Raises: Unavailable, PayloadTooLarge, RequestTimeout while nothing was answered yet; ClientGone.
        """
        body: InboundBody | None = None
        content: bytes | AsyncIterator[bytes] = b""
        if inbound.has_body:
            settings = self._settings
            body = InboundBody(receive, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds)
            first = await body.first()
            content = first if body.done else body.rest(first)
        request = UpstreamRequest(
            method=operation.method.encode("ascii"),
            target=inbound.target,
            headers=inbound.headers,
            body=content,
            content_length=inbound.content_length,
        )
        watch = self.watches.watch(receive, body)
        try:
            answer = await self._send(operation, request)
            try:
                return await relay(inbound, answer, send)
            finally:
                answer.close()
        except asyncio.CancelledError:
            if not watch.forgive():
                raise
            raise ClientGone from None
        except UpstreamError as error:
            if operation.is_stream and isinstance(error, UpstreamBusy):
                raise _too_many_streams() from error
            raise unavailable(operation.service, error, repeatable=request.repeatable) from error
        finally:
            watch.end()

    def upstream_of(self, operation: Operation) -> Upstream:
        """Where the operation's requests go. Streams have connections of their own: however many there are, other
        requests find one."""
        return (self._stream_upstreams if operation.is_stream else self._upstreams)[operation.service]

    async def _send(self, operation: Operation, request: UpstreamRequest) -> UpstreamResponse:
        """Send; if nothing was sent or sending twice does no harm, try the other addresses, and again while the
        service is away. A service that was away for longer than a request may wait is not waited for."""
        pool = self._streams if operation.is_stream else self._pool
        upstream = self.upstream_of(operation)
        give_up_at = monotonic() + self._settings.retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        tried: set[Origin] = set()
        while True:
            now, wait = monotonic(), pause
            try:
                origin = upstream.choose(now, tried, is_safe=request.repeatable)
                tried.add(origin)
                return await pool.send(origin, request)
            except UpstreamBusy:
                raise
            except UpstreamOpen as error:
                wait = max(pause, error.seconds)
                if now + wait > give_up_at:
                    raise
            except (UpstreamUnreachable, UpstreamBroken) as error:
                if not (isinstance(error, UpstreamUnreachable) or request.repeatable):
                    raise
                if upstream.has_other(tried):
                    continue
                if monotonic() + pause > give_up_at:
                    raise
            tried.clear()
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _upstreams(pool: UpstreamPool, origins: Mapping[str, Sequence[Origin]]) -> dict[str, Upstream]:
    return {service: Upstream(service, [pool.lane(origin) for origin in listed]) for service, listed in origins.items()}


def _too_many_streams() -> TooManyRequests:
    return TooManyRequests("Too many streams are open", code="too_many_streams", headers={"Retry-After": "5"})


async def relay(inbound: Inbound, answer: UpstreamResponse, send: Send) -> int:
    """Pass the service's answer on; its status, or 0 when it broke off. Raises: UpstreamError, VersionTooOld while
    nothing was answered yet."""
    status = answer.status
    if status >= 400 and is_plain_text(answer.headers):  # the server's own error, not the application's
        answer.close()
        await send_problem(inbound, as_problem(status), send)
        return status
    without_body = inbound.method == "HEAD" or status in (204, 304)
    headers = returned_headers(inbound, status, answer.headers)
    if not (inbound.knows_chunks or without_body or any(name == b"content-length" for name, _ in headers)):
        body = await _whole(answer)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if answer.done or without_body:
        await send({"type": "http.response.body", "body": b"" if without_body else answer.take()})
        return status
    try:
        while part := await answer.chunk():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except (UpstreamError, DomainError):
        return 0  # the answer has begun: all that is left is to end the connection without completing it
    await send({"type": "http.response.body", "body": b""})
    return status


async def _whole(answer: UpstreamResponse) -> bytes:
    """The body, for a client that has to be told its length. Raises: VersionTooOld when it is long, UpstreamError."""
    body = b""
    while part := await answer.chunk():
        body += part
        if len(body) > _WHOLE_BYTES:
            raise VersionTooOld("An answer of this length is streamed: ask for it in HTTP/1.1")
    return body
