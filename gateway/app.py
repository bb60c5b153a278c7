"""The composition of the gateway: a raw ASGI application in front, FastAPI behind it for the gateway's own pages."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import Gauge
from starlette.types import Receive, Scope, Send

from chassis import tracing
from chassis.auth import Authenticator, RemoteTokenSource, TokenSource
from chassis.errors import DomainError, Unavailable
from chassis.http import HttpClient
from chassis.lifecycle import Lifecycle
from chassis.memo import Memo
from chassis.tally import TALLY
from chassis.telemetry import configure_logging
from chassis.upstreams import PoolLimits, Upstream, UpstreamPool
from chassis.upstreams.connection import Connection
from gateway.access_log import AccessLog
from gateway.answers import returned_headers, send_problem, with_extra
from gateway.circuits import Circuits
from gateway.cors import is_preflight, methods_of
from gateway.edge import Edge, Inbound
from gateway.errors import ClientGone, MethodNotAllowed
from gateway.guard import Guard, Ticket
from gateway.prepared import REQUEST_LINE, Line
from gateway.proxy import Proxy
from gateway.routes import Readiness, build_surface
from gateway.settings import GatewaySettings
from gateway.shared_limits import limiters_of
from gateway.short import ADMITTED, ShortWay
from gateway.table import Operation, RouteTable, allowed, operations_of

DOCUMENT = Path(__file__).with_name("openapi.json")
_LOOK_SECONDS = 0.25


class Gateway:
    """The ASGI application: paths of the route table go to the services, everything else to the surface."""

    def __init__(self, settings: GatewaySettings, document: bytes, token_source: TokenSource | None) -> None:
        self.settings = settings
        self.lifecycle = Lifecycle()
        self._token_source = token_source
        operations = operations_of(json.loads(document))
        self.table = RouteTable(operations)
        self._untimed = frozenset(operation.path for operation in operations if operation.is_stream)
        self.lines = Memo(self._line)
        """Where request lines lead; None for what the parser has to look at."""

        self.edge = Edge(settings)
        self._tokens, self._addresses, self._lender = limiters_of(settings)
        self._in_flight = 0
        self._most_in_flight = settings.max_in_flight
        IN_FLIGHT.set_function(lambda: self._in_flight)
        self._access = AccessLog(enabled=settings.access_log)
        self.has_short_way = True
        """Whether the ASGI plane remembers shapes of requests: not where the lane does."""

        self._short: ShortWay | None = None
        self._guard: Guard = None  # type: ignore[assignment]  # these three come with the lifespan
        self._proxy: Proxy = None  # type: ignore[assignment]
        self._readiness: Readiness = None  # type: ignore[assignment]
        self._surface = build_surface(document, lifespan=self._lifespan, readiness=lambda: self._readiness)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with self.lifecycle.starting():
                await stack.enter_async_context(self._running())
            yield

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        settings = self.settings
        configure_logging(settings.log_level, service="gateway")
        send_spans = tracing.start("gateway")
        limits = PoolLimits(
            max_connections=settings.upstream_connections,
            max_waiting=settings.max_in_flight,
            connect_seconds=settings.connect_seconds,
            first_byte_seconds=settings.upstream_seconds,
            idle_seconds=settings.upstream_seconds,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, send_spans)
            circuits = Circuits(settings)
            pool = UpstreamPool(limits, circuits.of)
            streams = UpstreamPool(_for_streams(limits, settings), circuits.of)
            stack.push_async_callback(pool.close)
            stack.push_async_callback(streams.close)
            stack.callback(asyncio.create_task(self._end_streams(streams)).cancel)
            http = await stack.enter_async_context(HttpClient(timeout_seconds=5.0))
            source = self._token_source or RemoteTokenSource(http, settings.identity_url, settings.internal_secret)
            authenticator = Authenticator(source, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
            await authenticator.start()
            stack.push_async_callback(authenticator.stop)
            stack.callback(self._access.flush)
            if self._lender is not None:
                stack.push_async_callback(self._lender.close)
                await self._lender.start()
            self._guard = Guard(
                authenticator,
                tokens=self._tokens,
                addresses=self._addresses,
                retry_seconds=settings.retry_seconds,
            )
            self._proxy = Proxy(pool, streams, settings.origins(), settings)
            if self.has_short_way:
                self._short = ShortWay(self, self._proxy.watches)
            self._readiness = Readiness(http, settings.addresses(), self.lifecycle)
            yield

    async def _end_streams(self, streams: UpstreamPool) -> None:
        """When the process takes no more connections, its streams end, for they never do so by themselves."""
        life, drain_seconds = self.lifecycle, self.settings.drain_seconds
        while not (life.is_stopping and life.stopping_seconds() >= drain_seconds):  # noqa: ASYNC110 - told by a signal
            await asyncio.sleep(_LOOK_SECONDS)
        streams.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "http":
            short = self._short
            if short is None or not await short.take(scope, receive, send):
                await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._surface(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        inbound = self.edge.read(scope)
        operations = self.table.find(inbound.raw_path)
        if await self._answer_preflight(inbound, operations, send):
            return
        if operations is None and inbound.fault is None:
            await self._surface(scope, receive, with_extra(inbound.extra, send))
            return
        started = time.perf_counter()
        method = inbound.method
        operation = None if operations is None else operations.get(method)
        if operation is None and operations is not None and method == "HEAD":
            operation = operations.get("GET")
        if operation is not None:
            inbound.extra += operation.notice
        status = 0
        self._in_flight += 1
        try:
            _check(inbound, None if operations is None else allowed(operations), operation)
            assert operation
            if self._in_flight > self._most_in_flight:
                raise Unavailable("Too many requests are under way", code="overloaded")
            if ADMITTED not in scope:
                await self._guard.admit(inbound, operation)
            status = await self._proxy.forward(inbound, operation, receive, send)
            if self._short is not None and status < 400:
                self._short.learn(scope, inbound, operation)
        except DomainError as error:
            status = error.status
            await send_problem(inbound, error, send)
        except ClientGone:
            status = 499
        finally:
            self.leave(inbound, operation.path if operation else "unmatched", status, time.perf_counter() - started)

    async def _answer_preflight(self, inbound: Inbound, operations: Mapping[str, Operation] | None, send: Send) -> bool:
        """Tell a browser what a page may do with this path; False when that was not asked, or there is no such path."""
        cors = self.edge.cors
        if cors is None or inbound.fault is not None or not is_preflight(inbound.method, inbound.headers):
            return False
        methods = methods_of(inbound.raw_path) if operations is None else allowed(operations)
        if methods is None:
            return False
        started, status = time.perf_counter(), 204
        self._in_flight += 1
        try:
            headers = returned_headers(inbound, status, ()) + cors.preflight(inbound.headers, methods)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body"})
        except DomainError as error:
            status = error.status
            await send_problem(inbound, error, send)
        finally:
            self.leave(inbound, "preflight", status, time.perf_counter() - started)
        return True

    def enter(self, ticket: Ticket, upstream: Upstream, now: float, *, careful: bool = False) -> Connection | None:
        """Let a request in that needs nothing to be waited for; the idle connection to send it on.

        None when something has to be waited for or is wrong. Whoever got a connection calls `leave` or `turn_back`.
        `careful`: see `Lane.take`.
        """
        if self._in_flight >= self._most_in_flight:
            return None
        connection = upstream.idle_connection(now, careful=careful)
        if connection is None:
            return None
        if not ticket.take(now):
            connection.give_back()
            return None
        self._in_flight += 1
        return connection

    def ticket(self, inbound: Inbound, operation: Operation, now: float) -> Ticket | None:
        """What lets this caller's requests in at once; None when that takes longer."""
        return None if self._guard is None else self._guard.ticket(inbound.token, inbound.client, operation, now)

    def _line(self, request_line: bytes) -> Line | None:
        """Where a request line leads; None when the parser has to look at it."""
        found = REQUEST_LINE.fullmatch(request_line)
        if found is None or len(found.group(1)) > self.settings.max_target_bytes:
            return None
        target = found.group(1)
        path = target.partition(b"?")[0]
        operation = (self.table.find(path) or {}).get("GET")
        if operation is None or operation.notice.pairs or operation.is_stream:
            return None
        upstream, row = self._proxy.upstream_of(operation), TALLY.row("gateway", "GET", operation.path)
        return Line(target, path, operation, operation.access, upstream, row)

    def upstream_of(self, operation: Operation) -> Upstream:
        """Where the operation's requests go."""
        return self._proxy.upstream_of(operation)

    def turn_back(self, connection: Connection | None) -> None:
        """Forget that a request was let in by `enter`: it goes another way."""
        self._in_flight -= 1
        if connection is not None:
            connection.give_back()

    def leave(self, inbound: Inbound, route: str, status: int, seconds: float) -> None:
        """A request that was let in has been answered: count, time and log it."""
        self._in_flight -= 1
        method = inbound.method if inbound.method in _METHODS else "other"
        TALLY.add("gateway", method, route, status, None if route in self._untimed else seconds)
        if inbound.span is not None:
            tracing.end_request(inbound.span, method=method, route=route, status=status)
        trace_id = inbound.traceparent[3:35]
        self._access.add((method, route, status, seconds, inbound.request_id, trace_id, inbound.client))

    def leave_repeated(self, line: Line, status: int, seconds: float, trace_id: str, client: str) -> None:
        """As `leave`, for a request of a known shape: its request id is the trace's."""
        self._in_flight -= 1
        line.row.add(status, seconds)
        self._access.add(("GET", line.operation.path, status, seconds, trace_id, trace_id, client))


IN_FLIGHT = Gauge("btrst_gateway_in_flight", "Requests under way to a service")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _for_streams(limits: PoolLimits, settings: GatewaySettings) -> PoolLimits:
    return replace(limits, max_connections=settings.max_streams, max_waiting=0)


def _check(inbound: Inbound, allow: str | None, operation: Operation | None) -> None:
    if inbound.fault is not None:
        raise inbound.fault
    if operation is None:
        raise MethodNotAllowed(f"This path takes {allow}", headers={"Allow": allow or ""})


def create_gateway(
    settings: GatewaySettings | None = None,
    *,
    document: bytes | None = None,
    token_source: TokenSource | None = None,
) -> Gateway:
    """The gateway; by default with the environment's settings, the committed document and identity's keys.

    Raises: ValueError when the document or an upstream's URL cannot be used; OSError without a document.
    """
    settings = settings or GatewaySettings()
    settings.origins()
    return Gateway(settings, DOCUMENT.read_bytes() if document is None else document, token_source)


def build() -> Gateway:
    """For `uvicorn gateway.app:build --factory`; `python -m gateway` also guards what comes before a request."""
    return create_gateway()
