"""What a process tells about itself: structured logs, request and trace ids, metrics."""

import logging
import re
import secrets
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import tracing
from chassis.tally import TALLY
from chassis.tracing import TRACEPARENT, traceparent_from

UNTIMED = "untimed"
"""In a scope's state: the answer lasts as long as its reader likes, so its duration says nothing."""

REQUEST_ID = ContextVar[str | None]("request_id", default=None)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

READY = Gauge("btrst_ready", "1 when the dependency answers", ["service", "dependency"])
WORKER_RUNS = Counter("btrst_worker_runs_total", "Ticks of a worker", ["service", "worker", "outcome"])
WORKER_SUCCESS = Gauge(
    "btrst_worker_success_timestamp_seconds", "When a worker last ended a tick well", ["service", "worker"]
)

log = structlog.get_logger()


def configure_logging(level: str, *, service: str) -> None:
    """Write one JSON object per line to standard error, with the ids of the request at hand."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_ids,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_standard_error,
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _standard_error(*_names: object) -> structlog.PrintLogger:
    """Standard error as it is at each line: who redirects it for a while may close what it was meanwhile."""
    return structlog.PrintLogger(sys.stderr)


def _add_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := REQUEST_ID.get():
        event.setdefault("request_id", request_id)
    if traceparent := TRACEPARENT.get():
        event.setdefault("trace_id", traceparent[3:35])
    return event


def request_id_from(value: str | None) -> str:
    """The caller's request id if it is harmless, else a fresh one."""
    return value if value and _REQUEST_ID.fullmatch(value) else secrets.token_hex(16)


class RequestMiddleware:
    """Gives each request its ids, its metrics and one log line, and caps what the ids may look like."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        request_id = request_id_from(headers.get(b"x-request-id"))
        span = None
        if tracing.is_on() and scope["path"] not in _QUIET:
            span = tracing.begin_request(scope["method"], scope["path"], headers.get(b"traceparent"))
        traceparent = span.traceparent if span else traceparent_from(headers.get(b"traceparent"))
        REQUEST_ID.set(request_id)
        TRACEPARENT.set(traceparent)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"traceparent", traceparent.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_ids)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._observe(method, route, status, time.perf_counter() - started, timed=UNTIMED not in scope["state"])
            if span is not None:
                tracing.end_request(span, method=method, route=route, status=status)

    def _observe(self, method: str, route: str, status: int, seconds: float, *, timed: bool) -> None:
        TALLY.add(self._service, method, route, status, seconds if timed else None)
        if route not in _QUIET:
            log.info("request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 2))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/internal/revocations"})
