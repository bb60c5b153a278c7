"""Request bodies on their way in: counted, timed, and handed on as they come."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from chassis.errors import PayloadTooLarge
from gateway.errors import ClientGone, RequestTimeout


class InboundBody:
    """One request's body. `done` once it has been read to its end.

    Reading it raises PayloadTooLarge over the cap, RequestTimeout when the whole takes too long, and ClientGone when
    the client closes its connection.
    """

    def __init__(self, receive: Receive, *, max_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._seen = 0
        self.done = False

    async def first(self) -> bytes:
        """The first part; `done` says whether it was the only one."""
        return await self._next()

    async def rest(self, first: bytes) -> AsyncIterator[bytes]:
        """`first`, and all that follows."""
        yield first
        while not self.done:
            yield await self._next()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                message: Message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeout(f"A body has to arrive within {self._seconds:g} s", code="body_timeout") from error
        if message["type"] != "http.request":
            raise ClientGone
        part: bytes = message.get("body", b"")
        self._seen += len(part)
        if self._seen > self._max_bytes:
            raise PayloadTooLarge(f"A body may have {self._max_bytes} bytes")
        self.done = not message.get("more_body", False)
        return part
