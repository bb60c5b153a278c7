"""The pool of upstream connections against servers scripted byte by byte."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from chassis.upstreams import (
    PoolLimits,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamMalformed,
    UpstreamPool,
    UpstreamRequest,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.chassis.http_servers import GET, OK, Script, Scripted, answering, body_of, origin_of, scripted


@pytest.fixture
async def pool() -> AsyncIterator[UpstreamPool]:
    made = UpstreamPool(PoolLimits(first_byte_seconds=1, idle_seconds=1, connect_seconds=1))
    yield made
    await made.close()


async def parts_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)


async def test_a_connection_is_used_again(pool: UpstreamPool) -> None:
    async with scripted(answering(OK, OK, OK)) as server:
        for _ in range(3):
            assert await body_of(pool, server) == (200, b"ok")
        assert server.connections == 1
        assert pool.counts(origin_of(server)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-trailer: 1\r\n\r\n",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n", 304, b""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
    ],
)
async def test_every_framing_of_an_answer_is_read(pool: UpstreamPool, answer: bytes, status: int, body: bytes) -> None:
    async with scripted(answering(answer)) as server:
        response = await pool.send(origin_of(server), GET)
        assert response.status == status
        assert b"".join([part async for part in response.chunks()]) == body
        assert not {b"link", b"x-trailer"} & {name for name, _ in response.headers}


async def test_an_answer_in_single_bytes_is_read(pool: UpstreamPool) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            for byte in OK:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.001)

        return script

    async with scripted(make) as server:
        assert await body_of(pool, server) == (200, b"ok")


async def test_the_answer_to_head_has_no_body_and_keeps_the_connection(pool: UpstreamPool) -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 933\r\n\r\n", OK)) as server:
        assert await body_of(pool, server, UpstreamRequest(b"HEAD", b"/x")) == (200, b"")
        assert await body_of(pool, server) == (200, b"ok")
        assert server.connections == 1


async def test_a_streamed_body_goes_out_chunked_whatever_the_caller_says(pool: UpstreamPool) -> None:
    received: list[bytes] = []

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            received.append(await reader.readuntil(b"0\r\n\r\n"))
            writer.write(OK)

        return script

    lies = ((b"Content-Length", b"3"), (b"transfer-encoding", b"gzip"), (b"connection", b"x"), (b"x-kept", b"1"))
    async with scripted(make) as server:
        request = UpstreamRequest(b"POST", b"/x", lies, parts_of(b"abc", b"", b"defgh"))
        assert await body_of(pool, server, request) == (200, b"ok")
        assert received == [b"3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"]
        head = server.heads[0].lower()
        assert head.count(b"transfer-encoding: chunked\r\n") == 1
        assert b"content-length" not in head
        assert b"gzip" not in head
        assert b"connection" not in head
        assert b"x-kept: 1\r\n" in head


async def test_a_streamed_body_of_known_length_is_held_to_it(pool: UpstreamPool) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            await reader.readexactly(6)
            writer.write(OK)
            await reader.read()

        return script

    async with scripted(make) as server:
        exact = UpstreamRequest(b"POST", b"/x", (), parts_of(b"abc", b"def"), content_length=6)
        assert await body_of(pool, server, exact) == (200, b"ok")
        assert b"content-length: 6\r\n" in server.heads[0]
        for parts in ((b"abc", b"defg"), (b"abc",)):
            with pytest.raises(ValueError, match="content length"):
                await body_of(pool, server, UpstreamRequest(b"POST", b"/x", (), parts_of(*parts), content_length=6))
    assert pool.counts(origin_of(server))[1] == 0


async def test_a_dead_kept_connection_costs_a_get_nothing(pool: UpstreamPool) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.head(reader)
            writer.write(OK)
            await server.head(reader)  # the first connection dies on its second request
            if number > 1:
                writer.write(OK)
                await reader.read()

        return script

    async with scripted(make) as server:
        assert await body_of(pool, server) == (200, b"ok")
        assert await body_of(pool, server) == (200, b"ok")
        assert server.connections == 2
        assert len(server.heads) == 3


async def test_a_post_is_never_sent_twice(pool: UpstreamPool) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            writer.write(OK)
            await server.head(reader)

        return script

    async with scripted(make) as server:
        assert await body_of(pool, server) == (200, b"ok")
        with pytest.raises(UpstreamBroken):
            await body_of(pool, server, UpstreamRequest(b"POST", b"/x", (), b"{}"))
        assert len(server.heads) == 2


async def test_a_post_does_not_take_a_connection_the_server_has_closed(pool: UpstreamPool) -> None:
    async with scripted(answering(OK)) as server:
        assert await body_of(pool, server) == (200, b"ok")
        time.sleep(0.05)  # noqa: ASYNC251 - the loop must not see the end of the stream before we send
        assert await body_of(pool, server, UpstreamRequest(b"POST", b"/x", (), b"{}")) == (200, b"ok")
        assert server.connections == 2


async def test_a_refused_connection_says_that_nothing_was_sent(pool: UpstreamPool) -> None:
    async with scripted(answering(OK)) as server:
        pass
    with pytest.raises(UpstreamUnreachable):
        await pool.send(origin_of(server), GET)
    assert pool.counts(origin_of(server)) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UpstreamBroken),
        (b"HTTP/1.1 200 OK\r\ncontent-le", UpstreamBroken),
        (b"SSH-2.0-OpenSSH\r\n", UpstreamMalformed),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok", UpstreamMalformed),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", UpstreamMalformed),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, UpstreamMalformed),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n", UpstreamMalformed),
    ],
)
async def test_a_bad_head_is_an_error(pool: UpstreamPool, answer: bytes, error: type[Exception]) -> None:
    async with scripted(answering(answer)) as server:
        with pytest.raises(error):
            await body_of(pool, server)
        await asyncio.sleep(0.02)
        assert pool.counts(origin_of(server)) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", UpstreamBroken),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", UpstreamBroken),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n", UpstreamMalformed),
    ],
)
async def test_a_body_cut_short_is_an_error_and_not_an_end(
    pool: UpstreamPool, answer: bytes, error: type[Exception]
) -> None:
    async with scripted(answering(answer)) as server:
        with pytest.raises(error):
            await body_of(pool, server)


async def test_bytes_that_were_not_asked_for_end_the_connection(pool: UpstreamPool) -> None:
    async with scripted(answering(OK + OK, OK)) as server:
        assert await body_of(pool, server) == (200, b"ok")
        await asyncio.sleep(0.02)
        assert pool.counts(origin_of(server)) == (0, 0)
        assert await body_of(pool, server) == (200, b"ok")
        assert server.connections == 2


async def test_silence_is_a_time_out_before_and_within_the_body(pool: UpstreamPool) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.head(reader)
            if number == 2:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
            await reader.read()

        return script

    async with scripted(make) as server:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(UpstreamTimeout):
                await body_of(pool, server)
            assert 0.9 < time.monotonic() - started < 2


async def test_an_early_answer_ends_the_sending(pool: UpstreamPool) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            while await reader.read(65_536):
                pass

        return script

    async with scripted(make) as server:
        body = endless()
        assert await body_of(pool, server, UpstreamRequest(b"POST", b"/x", (), body)) == (413, b"")
        await asyncio.wait_for(closed.wait(), 2)
        await asyncio.sleep(0.02)
        assert pool.counts(origin_of(server)) == (0, 0)


async def test_what_the_body_raises_reaches_the_caller_and_ends_the_request(pool: UpstreamPool) -> None:
    ended = asyncio.Event()

    async def failing() -> AsyncIterator[bytes]:
        yield b"abc"
        raise LookupError("no more")

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            try:
                while await reader.read(1000):
                    pass
            finally:
                ended.set()

        return script

    async with scripted(make) as server:
        with pytest.raises(LookupError):
            await pool.send(origin_of(server), UpstreamRequest(b"POST", b"/x", (), failing()))
        await asyncio.wait_for(ended.wait(), 2)


async def test_callers_queue_for_connections_up_to_a_cap() -> None:
    pool = UpstreamPool(PoolLimits(max_connections=2, max_waiting=3, first_byte_seconds=5))

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            while True:
                await server.head(reader)
                await asyncio.sleep(0.1)
                writer.write(OK)

        return script

    async with scripted(make) as server:
        results = await asyncio.gather(*(body_of(pool, server) for _ in range(8)), return_exceptions=True)
        assert [result for result in results if not isinstance(result, Exception)] == [(200, b"ok")] * 5
        assert sum(isinstance(result, UpstreamBusy) for result in results) == 3
        assert server.connections == 2
        waiting = [asyncio.create_task(body_of(pool, server)) for _ in range(4)]
        await asyncio.sleep(0.02)
        waiting[0].cancel()  # one that holds a connection
        waiting[3].cancel()  # one that waits for its turn
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert done[1:3] == [(200, b"ok")] * 2
    await pool.close()


async def test_closing_an_unfinished_answer_drops_the_connection(pool: UpstreamPool) -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", OK)) as server:
        answer = await pool.send(origin_of(server), GET)
        with closing(answer):
            assert await answer.chunk() == b"ab"
        await asyncio.sleep(0.02)
        assert pool.counts(origin_of(server)) == (0, 0)


async def test_idle_connections_are_let_go() -> None:
    pool = UpstreamPool(PoolLimits(keep_alive_seconds=0.2))
    async with scripted(answering(OK, OK)) as server:
        assert await body_of(pool, server) == (200, b"ok")
        assert pool.counts(origin_of(server)) == (1, 1)
        await asyncio.sleep(0.5)
        assert pool.counts(origin_of(server)) == (0, 0)
    await pool.close()
