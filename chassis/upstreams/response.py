"""An upstream's answer as its reader sees it: a head, and a body that arrives in parts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from chassis.upstreams.whole import Head


class Exchanger(Protocol):
    """The connection an answer arrives on."""

    def on_taken(self, response: "UpstreamResponse") -> None:
        """The reader has emptied the buffer."""

    def abandon(self, response: "UpstreamResponse") -> None:
        """The reader does not want the rest."""


class UpstreamResponse:
    """An answer: `status`, `headers` (names in lower case) and a body to be read with `chunk`, `read` or `chunks`."""

    __slots__ = (
        "_connection",
        "_error",
        "_parts",
        "_size",
        "_waiter",
        "done",
        "echo",
        "head_done",
        "headers",
        "status",
    )

    def __init__(self, connection: "Exchanger") -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_done = False
        self.done = False
        """Whether the whole body has arrived (it may still have to be read)."""

        self.echo = b""
        """See `read_whole`: lines that are not wanted."""

        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def take(self) -> bytes:
        """What has arrived of the body and was not taken yet, without waiting."""
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        self._size = 0
        self._connection.on_taken(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunk(self) -> bytes:
        """The next part of the body, b"" at its end. Raises: UpstreamError, or what the request's body raised."""
        while not self._parts and not self.done:
            await self._wait()
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, part by part. Raises: UpstreamError."""
        while part := await self.chunk():
            yield part

    async def head(self) -> None:
        """Return once status and headers are here. Raises: UpstreamError, or what the request's body raised."""
        while not self.head_done:
            await self._wait()

    def turn(self) -> "asyncio.Future[None]":
        """What is done once there is something to look at: `head` in one step, for whoever looks then."""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def close(self) -> None:
        """Give up the rest of the answer; a connection that is not through with it is closed."""
        if not self.done:
            self._connection.abandon(self)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def put(self, part: bytes) -> int:
        """Add a part of the body; returns how many bytes now wait to be taken."""
        self._parts.append(part)
        self._size += len(part)
        return self._size

    def put_whole(self, head: Head, body: bytes) -> None:
        """Take an answer that came in one piece, and let the reader look."""
        self.status = head.status
        self.headers = [(name, value) for name, value, _, _ in head.fields]
        self.head_done = self.done = True
        if body:
            self.put(body)
        self.wake()

    def in_parts(self) -> "UpstreamResponse":
        """What an answer that does not come in one piece is given to: this, unless it can take whole ones only."""
        return self

    def fail(self, error: BaseException) -> None:
        """End with `error`, unless it is complete."""
        if not self.done and self._error is None:
            self._error = error
            self.wake()
