"""The stream of a member's own events, as Server-Sent Events that can be resumed."""

import asyncio
import random
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query, Request

from chassis.auth import CallerDep
from chassis.context import Context
from chassis.errors import BadRequest, Unauthorized, Unavailable
from chassis.sse import EventStream, frame
from chassis.strict_json import dump_compact
from chassis.web import ContextDep, SessionDep, new_router, problems, require_token
from services.identity.domain.feed import OLDEST, Place, parse_place
from services.identity.routes.resources import ResourcesDep
from services.identity.schemas import StreamEvent
from services.identity.service import feed as service

router = new_router("stream", prefix="/v1")
PAGE = 100
READ_SECONDS = 5.0
RETRY_MILLISECONDS = (1_000, 3_000)
"""When a client comes back: not all at once after a restart."""

_ID = {"pattern": "^(0|(0|[1-9][0-9]{0,17})-[0-9a-f]{8})$"}
_EVENTS = (
    "Server-Sent Events. `event` is the type, `data` one line of JSON (`StreamEvent`), `id` the place to go on from. "
    "Beside the events of the network there are `ready` (first: you miss nothing from here on), `reset` (events after "
    "the last one you have are no longer kept: read your lists again) and `end` (last; `code` says why)."
)
_EXAMPLE = (
    "event: ready\nid: 41-5d1c9a0f\nretry: 2100\ndata: {}\n\n"
    "event: jobs.bid.withdrawn.v1\nid: 42-0e9f3b77\n"
    'data: {"id":"0199a1c0-00ff-7000-8000-00000e9f3b77","type":"jobs.bid.withdrawn.v1","time":"2026-11-22T10:00:00Z",'
    '"subject":"0199a1c0-0002-7000-8000-000000000002","sequence":"2",'
    '"data":{"bid_id":"0199a1c0-0002-7000-8000-000000000002"}}\n\n'
    ":\n\n"
    'event: end\ndata: {"code":"token_expired"}\n\n'
)
_STREAM: dict[str, Any] = {
    "description": _EVENTS,
    "model": StreamEvent,
    "content": {"text/event-stream": {"example": _EXAMPLE}},
}


@router.get(
    "/stream",
    operation_id="stream_own_events",
    summary="Follow what concerns you",
    status_code=200,
    response_class=EventStream,
    responses={**problems(401, 429), 200: _STREAM},
)
async def stream_own_events(  # noqa: PLR0917 - FastAPI fills them by name
    request: Request,
    caller: CallerDep,
    context: ContextDep,
    session: SessionDep,
    resources: ResourcesDep,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="Go on after this event; `0`: with the oldest kept. Without it: with what comes from now on.",
            json_schema_extra=_ID,
        ),
    ] = None,
    last_event_id_in_query: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="The same, where headers cannot be set; the header goes before it.",
            json_schema_extra=_ID,
        ),
    ] = None,
) -> EventStream:
    """Every event that concerns you, in order, each once. The stream ends with your token or session: refresh and go on
    with the last id. Ids are kept for two weeks at least."""
    if len(request.headers.getlist("last-event-id")) > 1:
        raise BadRequest("Last-Event-ID may come once", code="repeated_header")
    wanted = last_event_id if last_event_id is not None else last_event_id_in_query
    if context.lifecycle.is_stopping:
        raise Unavailable("This process is about to end; come again", code="stopping")
    after = None if wanted is None else parse_place(wanted)
    place, is_whole = await service.open_feed(session, member_id=caller.member_id, after=after)
    feed = _Feed(context, require_token(request), caller.member_id, place, is_whole=is_whole)
    settings = context.settings
    return EventStream(
        resources.streams,
        caller.member_id,
        feed,
        heartbeat_seconds=settings.stream_heartbeat_seconds,
        stall_seconds=settings.stream_stall_seconds,
    )


class _Feed:
    """The source of one stream: a member's feed from a place on, for as long as the token holds."""

    def __init__(self, context: Context, token: str, member_id: UUID, place: Place, *, is_whole: bool) -> None:
        self._context = context
        self._token = token
        self._member_id = member_id
        self._place = place
        self._is_whole = is_whole
        self._turn: asyncio.Semaphore = context.resources.stream_reads

    def begin(self) -> bytes:
        """Where the reader stands: nothing is missed from here on."""
        retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311
        ready = frame("ready", b"{}", place=str(self._place), retry_milliseconds=retry)
        return ready if self._is_whole else ready + _reset(OLDEST)

    async def read(self) -> bytes:
        """What has come since."""
        async with self._turn, asyncio.timeout(READ_SECONDS), self._context.database.unit_of_work() as session:
            page = await service.read_feed(session, member_id=self._member_id, after=self._place, limit=PAGE)
        frames = [_reset(None)] if page.has_gap else []
        for entry in page.entries:
            self._place = Place(entry.seq, entry.mark)
            frames.append(frame(entry.type, entry.line.encode(), place=str(self._place)))
        return b"".join(frames)

    async def over(self) -> str | None:
        """Why to end: the token, the session, or this process."""
        lifecycle = self._context.lifecycle
        if lifecycle.is_stopping and lifecycle.stopping_seconds() >= self._context.base.drain_seconds:
            return "stopping"
        try:
            await self._context.auth.verify(self._token)
        except Unauthorized as error:
            return error.code
        except Unavailable:  # the database is away, which says nothing about the token
            return None
        return None


def _reset(place: Place | None) -> bytes:
    return frame("reset", dump_compact({"code": "not_kept"}), place=None if place is None else str(place))
