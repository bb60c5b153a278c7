"""Services that are away, slow or broken: who waits, who is told, and what is never sent twice."""

import asyncio
import time

import pytest
from starlette.types import Receive, Scope, Send

from chassis.ids import new_id
from chassis.testing import TokenMint
from tests.chassis.http_servers import OK, Script, Scripted, scripted
from tests.gateway.servers import Client, Upstream, gateway_before, reply, served

pytestmark = pytest.mark.usefixtures("plane")


@pytest.fixture
async def free_port() -> int:
    async with scripted(_silent) as server:
        return server.port


def _silent(server: Scripted) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.read()

    return script


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", b"{}"), ("DELETE", b"")])
async def test_a_service_that_comes_back_soon_is_waited_for(
    free_port: int, mint: TokenMint, method: str, body: bytes
) -> None:
    back = Upstream()
    async with gateway_before(free_port, mint) as client:
        target = "/v1/things" if method == "POST" else "/v1/things/7"
        calling = asyncio.create_task(client.call(method, target, body=body))
        await asyncio.sleep(1.5)
        assert not calling.done()
        async with served(back, port=free_port, lifespan="off"):
            assert (await calling).status == 200
    assert len(back.seen) == 1


async def test_a_streamed_body_waits_with_its_request(free_port: int, mint: TokenMint) -> None:
    back = Upstream()
    async with gateway_before(free_port, mint, warm=False) as client, client.connection() as wire:
        wire.writer.write(b"POST /v1/things HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.5)
        wire.writer.write(b"3\r\ndef\r\n0\r\n\r\n")
        async with served(back, port=free_port, lifespan="off"):
            assert (await wire.answer()).body == b'{"length": 6}'
    assert back.last["body"] == b"abcdef"


async def test_a_service_that_stays_away_is_unavailable(free_port: int, mint: TokenMint) -> None:
    async with gateway_before(free_port, mint, retry_seconds=0.5) as client:
        started = time.monotonic()
        for method in ("GET", "POST"):
            answer = await client.call(method, "/v1/things", "X-Request-Id: r1")
            answer.problem(503, "upstream_unavailable")
            assert answer.header("retry-after") == "1"
            assert answer.header("x-request-id") == "r1"
        assert time.monotonic() - started < 3


async def test_one_service_away_leaves_the_others_alone(free_port: int, upstream: Upstream, mint: TokenMint) -> None:
    rewards_url = f"http://127.0.0.1:{free_port}"
    async with gateway_before(upstream.port, mint, rewards_url=rewards_url, retry_seconds=0.2) as client:
        (await client.call("GET", "/v1/rewards")).problem(503, "upstream_unavailable")
        assert (await client.call("GET", "/v1/things")).status == 200


def _breaking_off(requests: list[bytes], answers: dict[int, bytes]) -> object:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            requests.append(await server.head(reader))
            writer.write(answers.get(number, OK))
            if number not in answers:
                await reader.read()

        return script

    return make


async def test_a_get_that_was_broken_off_is_sent_again_and_a_post_is_not(mint: TokenMint) -> None:
    for method, statuses, sent in (("GET", 200, 3), ("POST", 503, 1)):
        requests: list[bytes] = []
        async with (
            scripted(_breaking_off(requests, {1: b"", 2: b"HTTP/1.1 200 O"})) as server,  # type: ignore[arg-type]
            gateway_before(server.port, mint, warm=False) as client,
        ):
            answer = await client.call(method, "/v1/things", body=b"{}" if method == "POST" else b"")
            assert answer.status == statuses
            assert len(requests) == sent
            if statuses == 503:
                assert "Idempotency-Key" in answer.problem(503, "upstream_broken")["detail"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_that_breaks_off_does_not_look_complete(mint: TokenMint, answer: bytes) -> None:
    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            head, _, rest = answer.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            await asyncio.sleep(0.05)
            writer.write(rest)
            await writer.drain()

        return script

    async with (
        scripted(make) as server,
        gateway_before(server.port, mint, warm=False) as client,
        client.connection() as wire,
    ):
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.call("GET", "/v1/things")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http_is_unavailable(mint: TokenMint, answer: bytes) -> None:
    requests: list[bytes] = []
    async with (
        scripted(_breaking_off(requests, dict.fromkeys(range(1, 50), answer))) as server,  # type: ignore[arg-type]
        gateway_before(server.port, mint, retry_seconds=0.3) as client,
    ):
        (await client.call("GET", "/v1/things")).problem(503, "upstream_broken")


async def test_a_service_that_does_not_answer_is_unavailable(upstream: Upstream, mint: TokenMint) -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(30)

    upstream.answer = never
    async with gateway_before(upstream.port, mint, upstream_seconds=0.5) as client:
        for method in ("GET", "POST"):
            (await client.call(method, "/v1/things")).problem(503, "upstream_timeout")
    assert len(upstream.seen) == 2


async def test_plain_text_errors_of_a_server_become_problems(client: Client, upstream: Upstream) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("inside")

    upstream.answer = failing
    async with client.connection() as wire:
        problem = (await wire.call("GET", "/v1/things")).problem(500, "internal_server_error")
        assert "inside" not in str(problem)


async def test_problems_of_the_service_come_through_as_they_are(client: Client, upstream: Upstream) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        body = b'{"code": "invalid_state"}'
        fields = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 409, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    upstream.answer = refusing
    answer = await client.call("POST", "/v1/things", body=b"{}")
    assert (answer.status, answer.body) == (409, b'{"code": "invalid_state"}')


async def test_tokens_nobody_can_check_are_unavailable_and_not_refused(
    upstream: Upstream, free_port: int, mint: TokenMint
) -> None:
    token = f"Authorization: Bearer {mint.token(new_id())}"
    settings = {"retry_seconds": 0.3, "internal_secret": "s" * 32, "identity_port": free_port}
    async with gateway_before(upstream.port, None, **settings) as client:  # type: ignore[arg-type]
        answer = await client.call("GET", "/v1/mine", token)
        answer.problem(503, "identity_unavailable")
        assert answer.header("retry-after") == "1"
        (await client.call("GET", "/v1/mine")).problem(401, "unauthorized")
        assert (await client.call("GET", "/v1/things")).status == 200


async def test_a_client_that_reads_nothing_is_cut_off(upstream: Upstream, mint: TokenMint) -> None:
    stopped = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        ended = asyncio.create_task(_disconnect(receive))
        while not ended.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        stopped.set()

    upstream.answer = endless
    async with gateway_before(upstream.port, mint, stall_seconds=0.5) as client, client.connection() as wire:
        wire.writer.write(b"GET /v1/things HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(stopped.wait(), 10)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_concurrent_requests_share_few_connections(upstream: Upstream, mint: TokenMint) -> None:
    peers: set[tuple[str, int]] = set()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        peers.add(scope["client"])
        await asyncio.sleep(0.01)
        await reply(send, 200, b"{}")

    upstream.answer = counting
    async with gateway_before(upstream.port, mint, upstream_connections=4) as client:
        answers = await asyncio.gather(*(client.call("GET", "/v1/things") for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len(peers) == 4
