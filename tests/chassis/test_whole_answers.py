"""Answers read without the parser: exactly what the parser reads in them, or nothing."""

import asyncio

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.upstreams import PoolLimits, UpstreamPool
from chassis.upstreams.whole import read_whole
from tests.chassis.http_servers import Script, Scripted, body_of, scripted

Read = tuple[int, list[tuple[bytes, bytes]], bytes]

LINES = st.sampled_from(
    [
        b"content-length: 2", b"Content-Length: 0", b"content-length:2", b"content-length: 02", b"content-length: -2",
        b"content-length: 2, 2", b"content-type: text/plain", b"X-Empty:", b"x-folded: a\r\n b", b"x-tab:\ta\t",
        b"connection: keep-alive", b"connection: close", b"transfer-encoding: chunked", b"upgrade: h2c", b"no colon",
        b"x space: 1", b": nameless", b"x-latin: \xe9", b"x-nul: \0", b"x-bare: a\rb", b"trailer: x", b"date: now",
    ]
)  # fmt: skip
STATUSES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 100 Continue", b"HTTP/2 200 OK",
        b"HTTP/1.1  200 OK", b"HTTP/1.1 99 Low", b"HTTP/1.1 600 High", b"http/1.1 200 OK", b"HTTP/1.1 200 O\0K",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"", b"\n\n", b"\r\n\n"])
BODIES = st.sampled_from([b"ok", b"", b"o", b"ok!", b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])


class Parser:
    """What httptools makes of some bytes: the messages that are complete in them."""

    def __init__(self, data: bytes) -> None:
        self.complete: list[Read] = []
        self.begun = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.begun += 1
        self._headers, self._body = [], b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.complete.append((self._parser.get_status_code(), self._headers, self._body))


@given(status=STATUSES, lines=st.lists(LINES, max_size=4), end=ENDS, body=BODIES)
def test_what_is_read_without_the_parser_is_what_the_parser_reads(
    status: bytes, lines: list[bytes], end: bytes, body: bytes
) -> None:
    data = b"\r\n".join([status, *lines]) + end + body
    whole = read_whole(data)
    if whole is None:
        return
    parsed = Parser(data)
    assert parsed.begun == 1
    assert parsed.complete == [(whole[0].status, [(field.name, field.value) for field in whole[0].fields], whole[1])]


@pytest.mark.parametrize("cut", [b"", b"\r\n", b"\r\nx-more: 1", b"\r\nx-more: 1\r\n"])
def test_a_head_that_is_not_complete_is_no_answer(cut: bytes) -> None:
    assert read_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 0" + cut) is None
    assert read_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") is not None


async def test_an_answer_cut_behind_its_length_is_waited_for() -> None:
    """Its length, 0, is here before the end of its head: what follows is still this answer's."""

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            for _turn in range(2):
                await server.head(reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0")
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.write(b"\r\nx-late: 1\r\n\r\n")
                await writer.drain()

        return script

    pool = UpstreamPool(PoolLimits(first_byte_seconds=1, idle_seconds=1, connect_seconds=1))
    async with scripted(make) as server:
        for _ in range(2):
            assert await body_of(pool, server) == (200, b"")
        assert server.connections == 1
    await pool.close()
