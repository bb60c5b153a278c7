"""Nobody buffers more of a body than the slower side takes."""

import asyncio
from collections.abc import AsyncIterator

from chassis.upstreams import PoolLimits, UpstreamPool, UpstreamRequest
from tests.chassis.http_servers import GET, OK, Script, Scripted, body_of, origin_of, scripted


async def test_a_slow_reader_slows_the_upstream_down() -> None:
    pool = UpstreamPool(PoolLimits(buffer_bytes=65_536))
    size, sent = 64 * 1024 * 1024, 0

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            nonlocal sent
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            while sent < size:
                writer.write(b"x" * 65_536)
                sent += 65_536
                await writer.drain()

        return script

    async with scripted(make) as server:
        answer = await pool.send(origin_of(server), GET)
        await asyncio.sleep(0.3)
        assert sent < size / 2, "the whole body was taken although nobody read it"
        assert sum([len(part) async for part in answer.chunks()]) == size
    await pool.close()


async def test_a_slow_upstream_slows_the_body_down() -> None:
    pool = UpstreamPool()
    go_on = asyncio.Event()
    given = 0
    size = 64 * 1024 * 1024

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        while given < size:
            given += 65_536
            yield b"x" * 65_536

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            await go_on.wait()
            await reader.readexactly(size)
            writer.write(OK)

        return script

    async with scripted(make) as server:
        request = UpstreamRequest(b"POST", b"/x", (), body(), content_length=size)
        task = asyncio.create_task(body_of(pool, server, request))
        await asyncio.sleep(0.3)
        assert given < size / 2, "the whole body was buffered"
        go_on.set()
        assert await task == (200, b"ok")
    await pool.close()
