"""The gateway's own pages, in FastAPI: the documents, their reader, health, readiness and metrics."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis.http import HttpClient, HttpUnavailable
from chassis.lifecycle import Lifecycle
from chassis.problems import install_problem_handlers
from chassis.telemetry import READY, RequestMiddleware
from gateway import asyncapi

_CACHE = "public, max-age=60"


class Readiness:
    """Asks the services whether they are ready, at most twice a second however often it is asked."""

    def __init__(self, http: HttpClient, services: Mapping[str, Sequence[str]], lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._http = http
        self._services = services
        self._checks: dict[str, str] = {}
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def checks(self) -> dict[str, str]:
        """Service → "ok", or what is wrong with it. Once the gateway is to end, that is all it says."""
        if self._lifecycle.is_stopping:
            return {"process": "stopping"}
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._checked_at > 0.5:
                states = await asyncio.gather(*(self._check_all(urls) for urls in self._services.values()))
                self._checks = dict(zip(self._services, states, strict=True))
                self._checked_at = asyncio.get_running_loop().time()
                for name, state in self._checks.items():
                    READY.labels("gateway", name).set(state == "ok")
            return self._checks

    async def _check_all(self, urls: Sequence[str]) -> str:
        """A service is ready when one of its addresses is."""
        states = await asyncio.gather(*(self._check(url) for url in urls))
        return "ok" if "ok" in states else states[0]

    async def _check(self, url: str) -> str:
        try:
            async with asyncio.timeout(2):
                answer = await self._http.get_json(f"{url.rstrip('/')}/readyz")
        except (HttpUnavailable, TimeoutError):
            return "unreachable"
        return "ok" if answer.status == 200 else "not ready"


def build_surface(
    document: bytes,
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    readiness: Callable[[], Readiness],
) -> FastAPI:
    """The application for everything that is not a service's."""
    app = FastAPIOffline(
        title="BTRST Network",
        openapi_url="/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
        favicon_url="/static-offline-docs/favicon.png",
    )
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") != "/openapi.json"]
    install_problem_handlers(app)
    _add_document(app, "/openapi.json", lambda: document)
    _add_document(app, "/asyncapi.json", asyncapi.document_bytes)
    _add_operations(app, readiness)
    app.add_middleware(RequestMiddleware, service="gateway")
    return app


def _add_document(app: FastAPI, path: str, document: Callable[[], bytes]) -> None:
    @app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)
    async def describe(request: Request) -> Response:
        content = document()
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": _CACHE}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/json", headers=headers)


def _add_operations(app: FastAPI, readiness: Callable[[], Readiness]) -> None:
    @app.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.api_route("/readyz", methods=["GET", "HEAD"], include_in_schema=False)
    async def readyz(response: Response) -> dict[str, Any]:
        checks = await readiness().checks()
        ready = all(state == "ok" for state in checks.values())
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "not ready", "checks": checks}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
