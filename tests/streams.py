"""A reader of event streams, byte by byte: what it sees is what is on the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Frame:
    """One event of a stream."""

    event: str
    data: Any
    id: str | None
    retry: int | None


@dataclass
class Reader:
    """An open stream."""

    status: int
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heartbeats: int = 0
    last_id: str | None = None
    frames: list[Frame] = field(default_factory=list)
    complete: bool = False
    """Whether the answer was ended in order."""

    async def next(self, *, seconds: float = 30.0) -> Frame:
        """The next event; comments are counted. Raises: EOFError at the end of the answer."""
        async with asyncio.timeout(seconds):
            while True:
                while b"\n\n" not in self.body:
                    await self._chunk()
                block, _, self.body = self.body.partition(b"\n\n")
                found = _frame(block.decode())
                if found is None:
                    self.heartbeats += 1
                    continue
                self.last_id = found.id or self.last_id
                self.frames.append(found)
                return found

    async def take(self, count: int, *, seconds: float = 30.0) -> list[Frame]:
        """The next events."""
        return [await self.next(seconds=seconds) for _ in range(count)]

    async def rest(self, *, seconds: float = 30.0) -> list[Frame]:
        """Every event up to the end of the answer."""
        found = []
        try:
            while True:
                found.append(await self.next(seconds=seconds))
        except EOFError:
            return found

    async def _chunk(self) -> None:
        try:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            self.body += (await self.reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error
        if not size:
            self.complete = True
            raise EOFError


def _frame(block: str) -> Frame | None:
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    if not fields:
        return None
    assert set(fields) <= {"event", "id", "retry", "data"}, block
    retry = fields.get("retry")
    return Frame(fields["event"], json.loads(fields["data"]), fields.get("id"), int(retry) if retry else None)


@asynccontextmanager
async def stream(
    port: int,
    token: str | None,
    *headers: str,
    last_id: str | None = None,
    query: str = "",
    method: str = "GET",
    path: str = "/v1/stream",
    limit: int = 2**16,
) -> AsyncIterator[Reader]:
    """A request for a stream; `body` is what came instead, when it is none."""
    lines = [f"{method} {path}{query} HTTP/1.1", "Host: network.test", "Accept: text/event-stream", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if last_id is not None:
        lines.append(f"Last-Event-ID: {last_id}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
        told = {name.lower(): value for name, value in (line.split(": ", 1) for line in head.split("\r\n")[1:-2])}
        length = int(told.get("content-length", 0)) if method != "HEAD" else 0
        body = await asyncio.wait_for(reader.readexactly(length), 30)
        yield Reader(int(head.split(" ", 2)[1]), told, body, reader, writer)
    finally:
        writer.close()
