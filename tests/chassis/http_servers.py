"""Servers for tests of HTTP clients: scripted, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chassis.upstreams import Origin, UpstreamPool, UpstreamRequest

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@dataclass
class Scripted:
    """A server whose every connection runs the script, which gets the connection's number (from 1)."""

    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request's head and remember it."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def scripted(make: Callable[[Scripted], Script], *, port: int = 0) -> AsyncIterator[Scripted]:
    """Run a scripted server while the block runs."""
    server = Scripted()
    script = make(server)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        try:
            await script(reader, writer, server.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", port)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.01)


def answering(*answers: bytes) -> Callable[[Scripted], Script]:
    """A script that answers the n-th request of a connection with the n-th answer, then closes."""

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            for answer in answers:
                await server.head(reader)
                writer.write(answer)
                await writer.drain()

        return script

    return make


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GET = UpstreamRequest(b"GET", b"/x")


def origin_of(server: Scripted) -> Origin:
    """Where the server is, for a pool."""
    return Origin("127.0.0.1", server.port)


async def body_of(pool: UpstreamPool, server: Scripted, request: UpstreamRequest = GET) -> tuple[int, bytes]:
    """Send through the pool; the status and the whole body."""
    answer = await pool.send(origin_of(server), request)
    return answer.status, b"".join([part async for part in answer.chunks()])
