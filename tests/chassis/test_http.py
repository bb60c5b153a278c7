"""The HTTP client against servers scripted byte by byte."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chassis.http import HttpClient, HttpUnavailable
from tests.chassis.http_servers import OK, Script, Scripted, answering, scripted


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(timeout_seconds=0.5, max_answer_bytes=10_000) as made:
        yield made


async def test_get_asks_for_json_and_returns_any_status(client: HttpClient) -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 11\r\nX-Why: none\r\n\r\n" + b'{"a": true}'
    async with scripted(answering(answer)) as server:
        response = await client.get_json(f"{server.url}/x?y=1%2F2", headers={"Authorization": "Bearer t"})
        assert (response.status, response.json(), response.headers["x-why"]) == (404, {"a": True}, "none")
        head = server.heads[0]
        assert head.startswith(b"GET /x?y=1%2F2 HTTP/1.1\r\n")
        assert head.count(b"host: ") == 1
        assert f"host: 127.0.0.1:{server.port}\r\n".encode() in head
        assert b"accept: application/json\r\n" in head.lower()
        assert b"authorization: bearer t\r\n" in head.lower()


async def test_post_sends_json_with_its_length(client: HttpClient) -> None:
    bodies: list[bytes] = []

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            bodies.append(await reader.readexactly(7))
            writer.write(OK)
            await reader.read()

        return script

    async with scripted(make) as server:
        response = await client.post_json(f"{server.url}/x", {"a": 1})
        assert response.body == b"ok"
        assert bodies == [b'{"a":1}']
        assert b"content-length: 7\r\n" in server.heads[0].lower()


async def test_a_redirect_is_returned_and_not_followed(client: HttpClient) -> None:
    answer = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
    async with scripted(answering(answer)) as server:
        assert (await client.get_json(server.url)).status == 302


async def test_proxy_variables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with scripted(answering(OK)) as server, HttpClient() as client:
        assert (await client.get_json(server.url)).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_001,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab",
    ],
)
async def test_a_broken_answer_is_unavailable(client: HttpClient, answer: bytes) -> None:
    async with scripted(answering(answer)) as server:
        with pytest.raises(HttpUnavailable):
            await client.get_json(server.url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "ftp://127.0.0.1/", "nonsense", "https://127.0.0.1:9/x"])
async def test_what_cannot_be_reached_is_unavailable(client: HttpClient, url: str) -> None:
    with pytest.raises(HttpUnavailable, match="GET"):
        await client.get_json(f"{url}?secret=1")


async def test_the_query_stays_out_of_the_message(client: HttpClient) -> None:
    with pytest.raises(HttpUnavailable) as raised:
        await client.get_json("http://127.0.0.1:9/x?secret=1")
    assert "secret" not in str(raised.value)


async def test_a_drip_fed_answer_ends_at_the_time_out(client: HttpClient) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            for _byte in range(1000):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)

        return script

    async with scripted(make) as server:
        started = time.monotonic()
        with pytest.raises(HttpUnavailable, match="no answer in"):
            await client.get_json(server.url)
        assert time.monotonic() - started < 1.5


async def test_not_a_number_is_not_json(client: HttpClient) -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nNaN")) as server:
        response = await client.get_json(server.url)
        with pytest.raises(ValueError, match="NaN"):
            response.json()


async def test_connections_are_kept_between_calls(client: HttpClient) -> None:
    async with scripted(answering(OK, OK)) as server:
        await client.get_json(server.url)
        await client.get_json(server.url)
        assert server.connections == 1
