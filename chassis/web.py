"""The edge of a service: one request is one unit of work, bodies are strict JSON, POSTs are idempotent."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chassis import idempotency
from chassis.auth import bearer_of, caller_of
from chassis.clock import to_rfc3339
from chassis.context import Context
from chassis.db import Session
from chassis.errors import (
    BadRequest,
    NotFound,
    PreconditionFailed,
    Unauthorized,
    Unprocessable,
    UnsupportedMediaType,
)
from chassis.problems import problems
from chassis.strict_json import check_text, dump_compact, load

__all__ = [
    "ContextDep",
    "Page",
    "PageRequest",
    "Paging",
    "ReadModel",
    "SessionDep",
    "StrictModel",
    "check_if_match",
    "created",
    "etag_of",
    "idempotency_ignored",
    "idempotency_required",
    "new_router",
    "page_of",
    "problems",
]

T = TypeVar("T")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_READING: Final = frozenset({"GET", "HEAD"})


class StrictModel(BaseModel):
    """Base of request bodies: unknown fields are refused, nothing is coerced, text carries no blanks around it."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)


class ReadModel(BaseModel):
    """Base of answers: built from rows by attribute."""

    model_config = ConfigDict(from_attributes=True)


class _StrictRequest(Request):
    """A request whose JSON was read by our own loader (an error raised in `json` would lose its code)."""

    strict_json: Any = None

    async def json(self) -> Any:
        return self.strict_json


def idempotency_required(endpoint: T) -> T:
    """Mark an endpoint: with a token, a POST without Idempotency-Key is refused (400)."""
    endpoint.__idempotency__ = "required"  # type: ignore[attr-defined]
    return endpoint


def idempotency_ignored(endpoint: T) -> T:
    """Mark an endpoint: Idempotency-Key means nothing there (sessions, challenges)."""
    endpoint.__idempotency__ = "ignored"  # type: ignore[attr-defined]
    return endpoint


class UnitOfWorkRoute(APIRoute):
    """Runs an endpoint inside one unit of work and commits before the answer leaves.

    A dependency with `yield` would commit too late: its exit code runs after the answer was sent, so a failed
    commit would look like success to the caller.
    """

    def get_route_handler(self) -> Handler:
        """The endpoint's handler, wrapped."""
        endpoint_handler = super().get_route_handler()
        rule = getattr(self.endpoint, "__idempotency__", "accepted")
        has_body = self.body_field is not None
        needs_caller = any(needed.call is caller_of for needed in _all_dependants(self.dependant))

        async def handle(plain: Request) -> Response:
            request = _StrictRequest(plain.scope, plain.receive)
            context = context_of(request)
            _check_target(request)
            if needs_caller:  # who asks comes before what is asked
                await context.auth.verify(require_token(request))
            if has_body:
                await _read_body(request)
            elif request.method not in _READING:
                await _refuse_fields(request)
            async with context.database.unit_of_work() as session:
                request.state.session = session
                if request.method == "POST" and rule != "ignored":
                    return await _once(request, session, context, endpoint_handler, required=rule == "required")
                return await endpoint_handler(request)

        return handle


async def _once(request: Request, session: Session, context: Context, handler: Handler, *, required: bool) -> Response:
    key = request.headers.get("idempotency-key")
    if (key is None and not required) or bearer_of(request.headers) is None:
        return await handler(request)
    caller = await context.auth.verify(bearer_of(request.headers) or "")
    if key is None:
        raise BadRequest("Send an Idempotency-Key header with this request", code="idempotency_key_missing")
    query = request.url.query
    claim = idempotency.Claim.of(
        caller.member_id, key, request.method, request.url.path + (f"?{query}" if query else ""), await request.body()
    )
    session.on_begin(claim.take)
    try:
        response = await handler(request)
        if 200 <= response.status_code < 300:
            await claim.keep(session, response)
    except idempotency.AlreadyDone as done:
        return done.response
    return response


def _check_target(request: Request) -> None:
    """No NUL and no half of a surrogate pair may reach the database; a path with one names nothing."""
    if not check_text(request.url.path) or "\x00" in request.scope["path"]:
        raise NotFound
    if any(not check_text(text) for pair in request.query_params.multi_items() for text in pair):
        raise BadRequest("The query holds a character that no text may hold", code="malformed_query")


async def _read_body(request: _StrictRequest) -> None:
    body = await request.body()
    if not body:
        return
    if not _says_json(request):
        raise UnsupportedMediaType("The body must be application/json")
    request.strict_json = load(body)


def _says_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _refuse_fields(request: Request) -> None:
    """An operation without a body knows no field: one that is sent is as unknown as in any other body.

    Raises: Unprocessable, naming each; BadRequest when it is not JSON.
    """
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    body = (await request.body()).strip()
    if not body or not _says_json(request):
        return
    sent = load(body)
    if sent is None or sent == {}:
        return
    names = list(sent)[:50] if isinstance(sent, dict) else []
    extra = {"msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
    places = [["body", name] for name in names] or [["body"]]
    raise Unprocessable("This operation takes no body", fields=[{"loc": place, **extra} for place in places])


def _all_dependants(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _all_dependants(inner)


def new_router(tag: str, *, prefix: str = "") -> APIRouter:
    """A router whose endpoints run in a unit of work each."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=UnitOfWorkRoute)


def context_of(request: Request) -> Context:
    """The running service's context."""
    context: Context = request.app.state.context
    return context


def _session_of(request: Request) -> Session:
    session: Session = request.state.session
    return session


SessionDep = Annotated[Session, Depends(_session_of)]
"""The unit of work of this request."""

ContextDep = Annotated[Context, Depends(context_of)]
"""The running service: settings, clients, resources."""


class Page(BaseModel, Generic[T]):
    """One page of a list in a stable order."""

    items: list[T]
    next_cursor: str | None


class PageRequest(BaseModel):
    """Which page is asked for: at most `limit` items after the position `after`."""

    limit: int
    after: tuple[str, ...] | None

    def after_id(self) -> UUID | None:
        """The position as an id, for lists ordered by id.

        Raises: BadRequest `bad_page` when the cursor is not of such a list.
        """
        if self.after is None:
            return None
        try:
            (text,) = self.after
            return UUID(text)
        except ValueError as error:
            raise _bad_cursor() from error

    def after_time_id(self) -> tuple[datetime, UUID] | None:
        """The position as (moment, id), for lists ordered by both.

        Raises: BadRequest `bad_page` when the cursor is not of such a list.
        """
        if self.after is None:
            return None
        try:
            moment, text = self.after
            parsed = datetime.fromisoformat(moment)
            if parsed.tzinfo is None:
                raise _bad_cursor()
            return parsed.astimezone(UTC), UUID(text)
        except (ValueError, OverflowError) as error:  # the latter in the years 1 and 9999, by the offset
            raise _bad_cursor() from error


def _bad_cursor() -> BadRequest:
    return BadRequest("cursor is what next_cursor of the same list gave", code="bad_page")


def _plain_digits(value: Any) -> Any:
    """Python reads `1_0`, `+5`, ` 5` and digits of every script as numbers too; we do not."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("decimal digits are expected")
    return value


PlainDigits = BeforeValidator(_plain_digits)
"""For a number in a path or a query: digits 0 to 9 and nothing else."""

_Limit = Annotated[int, Field(ge=1, le=100), PlainDigits]


def _page_request(
    limit: Annotated[_Limit, Query(description="Items in a page")] = 20,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")] = None,
) -> PageRequest:
    if cursor is None:
        return PageRequest(limit=limit, after=None)
    try:
        parts = load(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, BadRequest) as error:
        raise _bad_cursor() from error
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise _bad_cursor()
    return PageRequest(limit=limit, after=tuple(parts))


Paging = Annotated[PageRequest, Depends(_page_request)]
"""`?limit=` and `?cursor=`."""


def page_of(
    rows: Sequence[T], paging: PageRequest, key: Callable[[T], Sequence[object]]
) -> tuple[Sequence[T], str | None]:
    """Cut `rows`, fetched with `limit + 1`, to a page, and make the cursor that leads on (None at the end)."""
    items = rows[: paging.limit]
    if len(rows) <= paging.limit:
        return items, None
    return items, cursor_behind(*key(items[-1]))


def cursor_behind(*position: object) -> str:
    """The cursor that leads on from a position in a list."""
    parts = [to_rfc3339(part) if isinstance(part, datetime) else str(part) for part in position]
    return urlsafe_b64encode(dump_compact(parts)).decode("ascii").rstrip("=")


def created(response: Response, path: str) -> None:
    """Say where the new resource is: 201 with `Location`."""
    response.status_code = 201
    response.headers["Location"] = path


def etag_of(*parts: object) -> str:
    """A strong entity tag over `parts`. Source: RFC 9110 section 8.8.3."""
    return f'"{sha256(repr(parts).encode()).hexdigest()[:32]}"'


def check_if_match(request: Request, etag: str) -> None:
    """Let the request through if it has no If-Match or one that names `etag`.

    Raises: PreconditionFailed. Source: RFC 9110 section 13.1.1.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag not in {tag.strip() for tag in wanted.split(",")}:
        raise PreconditionFailed("The resource has changed since you read it; read it again")


def require_token(request: Request) -> str:
    """The bearer token of the request.

    Raises: Unauthorized when there is none.
    """
    token = bearer_of(request.headers)
    if token is None:
        raise Unauthorized("Send `Authorization: Bearer <token>`")
    return token
