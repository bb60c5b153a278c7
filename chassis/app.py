"""The composition of a service: from a `Service` description to a FastAPI application with its background work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import MetaData, text

from chassis import failpoints, idempotency, tracing
from chassis.auth import Authenticator, RemoteTokenSource, TokenSource, internal_only
from chassis.body_limit import BodyLimit
from chassis.bus import Bus, BusUnavailable, Subscriptions, bus_from_url
from chassis.consumer import Consumer
from chassis.context import Context
from chassis.db import Database
from chassis.http import HttpClient
from chassis.lifecycle import Lifecycle
from chassis.measures import MEASURE, watch_pool
from chassis.openapi import describe
from chassis.outbox import Relay
from chassis.problems import install_problem_handlers
from chassis.settings import ServiceSettings, SettingsFault
from chassis.telemetry import READY, RequestMiddleware, configure_logging
from chassis.workers import Worker, run_worker

RELAY_SECONDS = 3.0
"""What the other loops leave to the relay at least, when the process is to end."""

__all__ = ["Context", "Service", "Worker", "create_app"]


@dataclass(frozen=True, slots=True)
class Service:
    """What one service consists of; everything else is the same for all."""

    name: str
    settings: type[ServiceSettings]
    metadata: MetaData
    routers: Sequence[APIRouter]
    internal_routers: Sequence[APIRouter] = ()
    subscriptions: Subscriptions | None = None
    workers: Sequence[Worker] = ()
    resources: Callable[[Context], AbstractAsyncContextManager[Any]] | None = None
    token_source: Callable[[Database, Any], TokenSource] | None = None
    """Only identity has one of its own: the others ask it."""

    readiness: Callable[[Context], Awaitable[dict[str, str]]] | None = None
    """More to say under `/readyz`: name → "ok" or what is wrong."""

    relay_failpoints: Mapping[str, str] = field(default_factory=dict)
    """Event type → failpoint, hit when the bus has such an event and the outbox does not know yet."""

    summary: str = ""
    tags: Sequence[dict[str, str]] = field(default_factory=tuple)


def create_app(
    service: Service,
    *,
    settings: ServiceSettings | None = None,
    token_source: TokenSource | None = None,
    bus: Bus | None = None,
) -> FastAPI:
    """The application of `service`. Settings, token source and bus are given by tests; else the environment rules."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with lifecycle.starting():
                known = settings or service.settings.from_environment()
                running = _running(service, known, token_source, bus, lifecycle)
                app.state.context = await stack.enter_async_context(running)
            yield

    lifecycle = Lifecycle()
    base = settings or ServiceSettings.from_environment()
    app = FastAPI(
        title=f"BTRST Network: {service.name}",
        summary=service.summary,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        openapi_tags=list(service.tags),
    )
    app.state.service, app.state.lifecycle = service, lifecycle
    install_problem_handlers(app)
    if base.role != "worker":
        _add_api(app, service)
    app.include_router(_operations(service))
    app.add_middleware(BodyLimit, max_bytes=base.max_body_bytes)
    app.add_middleware(RequestMiddleware, service=service.name)
    describe(app)
    return app


def _add_api(app: FastAPI, service: Service) -> None:
    for router in service.routers:
        app.include_router(router)
    for router in service.internal_routers:
        app.include_router(router, prefix="/internal", include_in_schema=False, dependencies=[Depends(internal_only)])


@asynccontextmanager
async def _running(
    service: Service,
    settings: ServiceSettings,
    token_source: TokenSource | None,
    bus: Bus | None,
    lifecycle: Lifecycle,
) -> AsyncIterator[Context]:
    configure_logging(settings.log_level, service=service.name)
    failpoints.arm(settings.failpoint, allowed=settings.environment == "test")
    if not settings.database_url:
        raise SettingsFault(f"{settings.env_name('database_url')} is not set")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, tracing.start(service.name))
        database = Database(settings.database_url, pool_size=settings.database_pool_size, application_name=service.name)
        stack.push_async_callback(database.close)
        http = HttpClient()
        stack.push_async_callback(http.close)
        if bus is None and settings.role != "api":  # an API leaves its events in the outbox, for the worker
            bus = bus_from_url(settings.bus_url, kafka=settings)
            stack.push_async_callback(bus.close)
        if token_source is None:
            make = service.token_source
            token_source = (
                make(database, settings)
                if make
                else RemoteTokenSource(http, settings.identity_url, settings.internal_secret)
            )
        auth = Authenticator(token_source, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        context = Context(service.name, settings, database, bus, http, auth, lifecycle)
        if service.resources is not None:
            context.resources = await stack.enter_async_context(service.resources(context))
        watch_pool(context)
        if settings.role != "worker":
            await auth.start()
            stack.push_async_callback(auth.stop)
        if settings.role in {"all", "worker"} and bus is not None:
            await stack.enter_async_context(_background(service, context, bus))
        yield context


@asynccontextmanager
async def _background(service: Service, context: Context, bus: Bus) -> AsyncIterator[None]:
    """The relay, the consumer and the workers, all running until the block ends; then they drain: the relay last,
    since the others' last work leaves events."""
    stopping, relay_stopping = asyncio.Event(), asyncio.Event()
    relay = Relay(context.database, bus, failpoints=service.relay_failpoints)
    relaying = asyncio.create_task(relay.run(relay_stopping))
    loops: list[Coroutine[Any, Any, None]] = []
    if service.subscriptions is not None:
        consumer = Consumer(context.database, bus, service.subscriptions)
        context.consumer = consumer
        loops.append(consumer.run(stopping))
    workers = (*service.workers, Worker("forget_idempotency_keys", _forget_keys, 3_600.0), MEASURE)
    loops.extend(run_worker(worker, context, stopping) for worker in workers)
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        stopping.set()
        await _finish(tasks, seconds=context.lifecycle.seconds_left() - RELAY_SECONDS)
        relay_stopping.set()
        await _finish([relaying], seconds=RELAY_SECONDS)


async def _finish(tasks: Sequence[asyncio.Task[None]], *, seconds: float) -> None:
    """Let the tasks end by themselves, and cancel those that have not within the time."""
    _, late = await asyncio.wait(tasks, timeout=max(1.0, seconds))
    for task in late:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*late, return_exceptions=True)


async def _forget_keys(context: Context) -> bool:
    async with context.database.unit_of_work() as session:
        await idempotency.forget_old(session)
    return False


def _operations(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz(request: Request, response: Response) -> dict[str, str]:
        consumer = request.app.state.context.consumer
        if consumer is not None and not consumer.healthy():
            response.status_code = 503
            return {"status": "stalled"}
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request, response: Response) -> dict[str, Any]:
        checks = await _check(service, request.app.state.context)
        for name, state in checks.items():
            READY.labels(service.name, name).set(state == "ok")
        if request.app.state.lifecycle.is_stopping:
            checks = {"process": "stopping"} | checks
        ready = checks["database"] == "ok" and "process" not in checks
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "not ready", "checks": checks}

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _check(service: Service, context: Context) -> dict[str, str]:
    checks = {"database": "ok"}
    try:
        async with asyncio.timeout(3), context.database.unit_of_work() as session:
            await session.execute(text("SELECT 1"))
    except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, the answer is "not ready"
        checks["database"] = type(error).__name__
    if context.bus is not None:
        checks["bus"] = await _bus_state(context.bus)
    if service.readiness is not None and checks["database"] == "ok":
        checks |= await service.readiness(context)
    return checks


async def _bus_state(bus: Bus) -> str:
    """ "ok", or what is wrong with the bus. Told, and no more: requests are served without it, their events wait."""
    try:
        async with asyncio.timeout(3):
            await bus.ping()
    except (BusUnavailable, TimeoutError) as error:
        return str(error) or "no answer within 3 s"
    return "ok"
