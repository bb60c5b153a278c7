"""Every error that leaves a service is an RFC 9457 problem document with a stable code and the request's id."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import BadRequest, DomainError, NotFound, Unavailable, Unprocessable
from chassis.retries import is_transient
from chassis.telemetry import log

MEDIA_TYPE = "application/problem+json"


class ProblemField(BaseModel):
    """One wrong field; what was sent is not repeated."""

    loc: list[str | int] = Field(examples=[["body", "amount_cents"]])
    msg: str = Field(examples=["Input should be greater than 0"])
    type: str = Field(examples=["greater_than"])


class Problem(BaseModel):
    """An error. Source: RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:btrst:problem:invalid_state"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    code: str = Field(description="Stable, snake_case: what programs should look at.", examples=["invalid_state"])
    request_id: str
    errors: list[ProblemField] | None = None


def problem(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    request_id: str,
    errors: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The body of an error answer. Source: RFC 9457 section 3, with `code`, `request_id`, `errors` added."""
    body: dict[str, Any] = {
        "type": f"urn:btrst:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
    }
    if errors:
        body["errors"] = [dict(error) for error in errors]
    return body


_DESCRIPTIONS = {
    400: "Malformed JSON, a missing Idempotency-Key, a bad cursor or limit",
    401: "No token or signature, or one that does not hold",
    403: "A party, but not with this role",
    404: "Unknown, or not yours to see",
    405: "Method not allowed",
    409: "Wrong state, a duplicate, or the same key in flight",
    412: "If-Match names another version",
    413: "Body too large",
    415: "Not application/json",
    422: "A field has a value it may not have",
    429: "Over the rate limit",
    431: "Headers too large",
    500: "A fault of ours",
    503: "A dependency is down",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an endpoint that may answer with these errors; 400, 422 and 503 are always among them."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({400, 422, 503, *statuses})
    }


def _answer(request: Request, error: DomainError) -> JSONResponse:
    body = problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        instance=request.url.path,
        request_id=getattr(request.state, "request_id", ""),
        errors=error.fields,
    )
    return JSONResponse(body, status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE)


async def _on_domain_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)
    return _answer(request, error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "loc": [part for part in item["loc"] if isinstance(part, (str, int))],
            "msg": item["msg"],
            "type": item["type"],
        }
        for item in error.errors()[:50]
    ]
    first = fields[0]["loc"] if fields else []
    if any(field["loc"][:1] == ["path"] for field in fields):
        return _answer(request, NotFound())
    if first[:1] == ["query"] and set(first[1:2]) & {"limit", "cursor"}:
        return _answer(request, BadRequest("limit is 1 to 100, cursor is what next_cursor gave", code="bad_page"))
    detail = "; ".join(f"{'.'.join(map(str, field['loc'][1:])) or 'body'}: {field['msg']}" for field in fields[:5])
    return _answer(request, Unprocessable(detail, fields=fields))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    wrapped = DomainError(str(error.detail) or phrase, code=phrase.lower().replace(" ", "_").replace("-", "_"))
    wrapped.status, wrapped.title = error.status_code, phrase
    wrapped.headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        wrapped.headers["Allow"] = ", ".join(_methods_of(request))
    return _answer(request, wrapped)


def _methods_of(request: Request) -> list[str]:
    """Every method of this path. The router alone names those of the first route that has the path."""

    def serves(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if serves(method)]


async def _on_database_error(request: Request, error: Exception) -> JSONResponse:
    if not is_transient(error):
        return await _on_fault(request, error)
    log.warning("database_unavailable", error=str(error)[:300])
    return _answer(request, Unavailable("The database does not answer", code="database_unavailable"))


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled", exc_info=error)
    fault = DomainError("Something went wrong here; the request id helps us find it", code="internal_error")
    fault.status, fault.title = 500, "Internal error"
    return _answer(request, fault)


_DATABASE_ERRORS = (
    *(DBAPIError, PoolTimeoutError, ConnectionError, TimeoutError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)


class FaultBarrier:
    """Turns what nobody caught into a problem document, inside the middleware that gives requests their ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            response = await _on_fault(Request(scope, receive), error)
            await response(scope, receive, send)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for kind in _DATABASE_ERRORS:
        app.add_exception_handler(kind, _on_database_error)
    app.add_middleware(FaultBarrier)
