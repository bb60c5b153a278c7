"""Server-Sent Events: how they are written, and an answer that goes on for as long as it has a reader.

A stream waits for its bell; it looks again with each heartbeat too, so a bell that was not heard costs time only.
Each second it asks whether it may go on. It writes no more than its reader takes: one who takes nothing is dropped.
Source: HTML Living Standard, section 9.2 (server-sent events).
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import Counter, Gauge
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chassis.errors import TooManyRequests
from chassis.retries import is_transient
from chassis.strict_json import dump_compact
from chassis.telemetry import UNTIMED, log

MEDIA_TYPE = "text/event-stream"
TICK_SECONDS = 1.0
"""How often a stream asks whether it may go on."""

HEARTBEAT = b":\n\n"
_RETRY_READ_SECONDS = 1.0

OPEN = Gauge("btrst_streams_open", "Event streams that are open")
ENDED = Counter("btrst_streams_ended_total", "Event streams that ended", ["reason"])


def frame(event: str, data: bytes, *, place: str | None = None, retry_milliseconds: int | None = None) -> bytes:
    """One event on the wire: `data` is one line, `place` is the id from which the stream can be resumed."""
    assert b"\n" not in data
    assert b"\r" not in data
    lines = [b"event: %b" % event.encode()]
    if place is not None:
        lines.append(b"id: %b" % place.encode())
    if retry_milliseconds is not None:
        lines.append(b"retry: %d" % retry_milliseconds)
    return b"\n".join([*lines, b"data: %b" % data, b"", b""])


class Source(Protocol):
    """Where the events of one stream come from."""

    def begin(self) -> bytes:
        """What the stream begins with."""

    async def read(self) -> bytes:
        """The events that have come since, as frames; empty when there are none. Transient errors are tried again."""

    async def over(self) -> str | None:
        """Why the stream has to end now, as a stable code; None while it may go on."""


class Streams:
    """The streams that are open in this process, by whom they are for."""

    def __init__(self, *, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._bells: dict[object, set[asyncio.Event]] = {}
        self.open = 0

    @contextmanager
    def entered(self, subject: object) -> Iterator[asyncio.Event]:
        """The bell of one more stream of `subject`, as long as the block runs.

        Raises: TooManyRequests `too_many_streams`.
        """
        bells = self._bells.get(subject, set())
        if len(bells) >= self._most_each or self.open >= self._most:
            whose = f"You have {len(bells)}" if len(bells) >= self._most_each else f"There are {self.open}"
            raise TooManyRequests(
                f"{whose} streams open here; close one", code="too_many_streams", headers={"Retry-After": "5"}
            )
        bell = asyncio.Event()
        self._bells.setdefault(subject, bells).add(bell)
        self.open += 1
        OPEN.inc()
        try:
            yield bell
        finally:
            bells.discard(bell)
            if not bells:
                self._bells.pop(subject, None)
            self.open -= 1
            OPEN.dec()

    def ring(self, subject: object) -> None:
        """Let the streams of `subject` look."""
        for bell in self._bells.get(subject, ()):
            bell.set()

    def ring_all(self) -> None:
        """Let every stream look."""
        for bells in self._bells.values():
            for bell in bells:
                bell.set()


class EventStream(Response):
    """The answer. It ends in order when its source says so, without a last word when its reader is gone or stuck."""

    media_type = MEDIA_TYPE

    def __init__(
        self, streams: Streams, subject: object, source: Source, *, heartbeat_seconds: float, stall_seconds: float
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(
            {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx
        )
        self._streams = streams
        self._subject = subject
        self._source = source
        self._heartbeat_seconds = heartbeat_seconds
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point. Raises: TooManyRequests, while nothing was answered yet."""
        with self._streams.entered(self._subject) as bell:
            scope.setdefault("state", {})[UNTIMED] = True
            gone = asyncio.create_task(_disconnect(receive))
            gone.add_done_callback(lambda _: bell.set())
            reason = "failed"
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                writer = _Writer(send, gone, self._source, self._stall_seconds)
                reason = await self._run(writer, bell)
            finally:
                ENDED.labels(reason).inc()
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone

    async def _run(self, writer: "_Writer", bell: asyncio.Event) -> str:
        """Write until the end; why it came."""
        if (reason := await writer.put(self._source.begin())) is not None:
            return reason
        look_at = beat_at = 0.0
        while True:
            rung = bell.is_set()
            bell.clear()
            if writer.gone.done():
                return "client"
            if (reason := await self._source.over()) is not None:
                return await writer.end(reason)
            now = time.monotonic()
            frames = b""
            if rung or now >= look_at:
                frames, look_at = await self._look(now)
            if not frames and now >= beat_at:
                frames = HEARTBEAT
            if frames:
                if (reason := await writer.put(frames)) is not None:
                    return reason
                beat_at = time.monotonic() + self._heartbeat_seconds
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), TICK_SECONDS)

    async def _look(self, now: float) -> tuple[bytes, float]:
        """What there is to write, and when to look again without a bell: at once after something was found."""
        try:
            frames = await self._source.read()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("stream_waits", error=f"{type(error).__name__}: {error}"[:300])
            return b"", now + _RETRY_READ_SECONDS
        return frames, 0.0 if frames else now + self._heartbeat_seconds


class _Writer:
    """Hands frames to the server, which takes them as fast as the reader does."""

    def __init__(self, send: Send, gone: "asyncio.Task[None]", source: Source, stall_seconds: float) -> None:
        self._send = send
        self.gone = gone
        self._source = source
        self._stall_seconds = stall_seconds

    async def put(self, body: bytes, *, more: bool = True) -> str | None:
        """Write `body`; None when it is taken, else why the stream is cut off."""
        sending = asyncio.ensure_future(self._send({"type": "http.response.body", "body": body, "more_body": more}))
        give_up_at = time.monotonic() + self._stall_seconds
        try:
            while True:
                await asyncio.wait({sending, self.gone}, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
                    return None
                if self.gone.done():
                    return "client"
                if time.monotonic() > give_up_at:
                    return "slow_reader"
                if more and (reason := await self._source.over()) is not None:
                    return reason
        finally:
            sending.cancel()

    async def end(self, reason: str) -> str:
        """Say why the stream ends, and end it; the reason that counts."""
        last = frame("end", dump_compact({"code": reason}))
        return await self.put(last, more=False) or reason


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
