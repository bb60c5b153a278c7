"""Requests of a known shape on one connection, on both planes: the lane, and the short way of the ASGI one."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from chassis.ids import new_id
from chassis.testing import TokenMint, eventually
from gateway.protocol import EdgeProtocol
from gateway.repeat import Repeat
from gateway.short import ShortWay
from tests.chassis.http_servers import OK, Script, Scripted, scripted
from tests.gateway.servers import Client, Upstream, Wire, gateway_before, reply

pytestmark = pytest.mark.usefixtures("plane")

ASK = b"GET /v1/things HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that were answered by what an earlier one taught."""
    paths: list[str] = []
    send, take = Repeat.send, ShortWay.take

    def sent(self: Repeat, prepared: Any, line: Any, *more: Any) -> None:
        paths.append(line.path.decode())
        send(self, prepared, line, *more)

    async def taken(self: ShortWay, scope: Scope, *more: Any) -> bool:
        did = await take(self, scope, *more)
        if did:
            paths.append(scope["path"])
        return did

    monkeypatch.setattr(Repeat, "send", sent)
    monkeypatch.setattr(ShortWay, "take", taken)
    return paths


@pytest.fixture
async def wire(client: Client, quick: list[str]) -> AsyncIterator[Wire]:
    """A connection on which all that is needed is there."""
    async with client.connection() as made:
        quick.clear()
        yield made


async def test_a_known_section_goes_on_with_ids_of_its_own(wire: Wire, upstream: Upstream, quick: list[str]) -> None:
    seen = set()
    for number in range(5):
        answer = await wire.call("GET", f"/v1/things?page={number}", "Accept: a/b")
        assert upstream.last["target"] == f"/v1/things?page={number}"
        assert upstream.values("host") == [f"127.0.0.1:{upstream.port}"]
        assert upstream.values("accept") == ["a/b"]
        assert upstream.values("x-forwarded-for") == ["127.0.0.1"]
        assert upstream.values("x-forwarded-host") == ["gateway.test"]
        assert upstream.values("x-request-id") == [answer.header("x-request-id")]
        assert upstream.values("traceparent") == [answer.header("traceparent")]
        seen |= {answer.header("x-request-id"), answer.header("traceparent")}
    assert len(seen) == 10
    assert quick == ["/v1/things"] * 4  # the first has another header than the ones before it


async def test_ids_of_the_caller_are_kept_in_every_request(wire: Wire, upstream: Upstream) -> None:
    for number in range(3):
        answer = await wire.call("GET", "/v1/things", f"X-Request-ID: mine-{number}")
        assert answer.header("x-request-id") == f"mine-{number}"
        assert upstream.values("x-request-id") == [f"mine-{number}"]


async def test_a_section_is_known_for_its_exact_bytes_only(wire: Wire, upstream: Upstream) -> None:
    for headers, code in (
        ("Host: gateway.test\r\nHost: other", "repeated_header"),
        ("Host: gateway.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", "malformed_request"),
    ):
        count = len(upstream.seen)
        async with Client(wire.writer.get_extra_info("peername")[1], warm=True).connection() as other:
            other.writer.write(f"GET /v1/things HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            (await other.answer()).problem(400, code)
        assert len(upstream.seen) == count
    wire.writer.write(b"GET /v1/things HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
    assert (await wire.answer()).header("connection") == "close"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/things#x HTTP/1.1", 400),
        (b"GET  /v1/things HTTP/1.1", 400),
        (b"GET /v1/things HTTP/1.1 ", 400),
        (b"GET /v1/th\x01ngs HTTP/1.1", 400),
        (b"GET //v1/things HTTP/1.1", 404),
        (b"GET http://evil/v1/things HTTP/1.1", 200),
        (b"get /v1/things HTTP/1.1", 400),
        (b"GET /v1/things/%2e%2e HTTP/1.1", 404),
        (b"GET /v1/things/" + b"x" * 9_000 + b" HTTP/1.1", 414),
    ],
)
async def test_a_request_line_is_read_as_by_the_parser(
    client: Client, upstream: Upstream, line: bytes, status: int
) -> None:
    """Behind a known header section and without one: the same answer, and nothing else reaches the service."""
    for known in (True, False):
        client.warm = known
        before = len(upstream.seen)
        async with client.connection() as wire:
            wire.writer.write(line + b"\r\nHost: gateway.test\r\n\r\n")
            answer = await wire.answer()
        assert answer.status == status, (known, answer)
        assert len(upstream.seen) - before == (status == 200)


async def test_pipelined_requests_are_answered_in_order(wire: Wire, upstream: Upstream) -> None:
    wire.writer.write(ASK.replace(b"things", b"things/1") + ASK.replace(b"things", b"things/2") + ASK)
    for _ in range(3):
        assert (await wire.answer()).status == 200
    assert [seen["target"] for seen in upstream.seen] == ["/v1/things/1", "/v1/things/2", "/v1/things"]


async def test_a_request_in_two_pieces_is_one_request(wire: Wire, upstream: Upstream) -> None:
    for cut in (1, 4, 20, len(ASK) - 2, len(ASK) - 1):
        before = len(upstream.seen)
        wire.writer.write(ASK[:cut])
        await asyncio.sleep(0.03)
        wire.writer.write(ASK[cut:])
        assert (await wire.answer()).status == 200
        assert len(upstream.seen) == before + 1


async def test_a_token_is_looked_at_in_every_request(upstream: Upstream, mint: TokenMint) -> None:
    session, now = new_id(), int(time.time())
    ends_soon = f"Authorization: Bearer {mint.token(new_id(), exp=now + 3)}"
    revoked = f"Authorization: Bearer {mint.token(new_id(), session_id=session)}"
    async with gateway_before(upstream.port, mint) as client, client.connection() as one, client.connection() as two:
        for wire, token in ((one, ends_soon), (two, revoked)):
            for _ in range(3):
                assert (await wire.call("GET", "/v1/mine", token)).status == 200
        mint.revoke("session", session)

        async def refused() -> bool:
            answers = [await one.call("GET", "/v1/mine", ends_soon), await two.call("GET", "/v1/mine", revoked)]
            return [answer.status for answer in answers] == [401, 401]

        await eventually(refused, seconds=20)
        (await one.call("GET", "/v1/mine", ends_soon)).problem(401, "token_expired")
        (await two.call("GET", "/v1/mine", revoked)).problem(401, "session_ended")


async def test_limits_count_repeated_requests_too(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, warm=False, rate_limit=20) as client, client.connection() as wire:
        statuses = [(await wire.call("GET", "/v1/things")).status for _ in range(40)]
    assert statuses[:20] == [200] * 20
    assert 429 in statuses


def _after_the_first(*answers: bytes) -> object:
    """A service whose connections answer one request well; then each says the next of `answers` and ends."""
    left = list(answers)

    def make(server: Scripted) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await server.head(reader)
            writer.write(OK)
            await server.head(reader)
            if left:
                writer.write(left.pop(0))
                await writer.drain()
                return
            writer.write(OK)
            await reader.read()

        return script

    return make


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 200 O"])
async def test_a_get_on_a_dead_connection_is_sent_again_and_counted_once(mint: TokenMint, broken: bytes) -> None:
    async with (
        scripted(_after_the_first(broken)) as server,  # type: ignore[arg-type]
        gateway_before(server.port, mint, warm=False) as client,
        client.connection() as wire,
    ):
        first = await wire.call("GET", "/v1/things", "Accept: a/b")
        second = await wire.call("GET", "/v1/things", "Accept: a/b")
        assert (first.status, second.status) == (200, 200)
        assert len(server.heads) == 3
        third = await wire.call("GET", "/v1/things", "Accept: a/b")
        assert third.status == 200


async def test_a_post_on_a_dead_connection_is_not_sent_again(mint: TokenMint) -> None:
    async with (
        scripted(_after_the_first(b"HTTP/1.1 200 O")) as server,  # type: ignore[arg-type]
        gateway_before(server.port, mint, warm=False) as client,
        client.connection() as wire,
    ):
        assert (await wire.call("POST", "/v1/things", body=b"{}")).status == 200
        (await wire.call("POST", "/v1/things", body=b"{}")).problem(503, "upstream_broken")
        assert len(server.heads) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_that_breaks_off_does_not_look_complete(mint: TokenMint, answer: bytes) -> None:
    async with (
        scripted(_after_the_first(answer)) as server,  # type: ignore[arg-type]
        gateway_before(server.port, mint, warm=False) as client,
        client.connection() as wire,
    ):
        assert (await wire.call("GET", "/v1/things")).status == 200
        try:
            got = await wire.call("GET", "/v1/things")
        except asyncio.IncompleteReadError:
            return
        got.problem(503, "upstream_broken")  # it broke before anything was passed on


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nbad name: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\nx: y\r\n\r\nok",
    ],
)
async def test_an_answer_that_two_readers_could_read_differently_is_not_passed_on(
    mint: TokenMint, answer: bytes
) -> None:
    async with (
        scripted(_after_the_first(*[answer] * 9)) as server,  # type: ignore[arg-type]
        gateway_before(server.port, mint, warm=False, retry_seconds=0.2) as client,
        client.connection() as wire,
    ):
        assert (await wire.call("GET", "/v1/things")).status == 200
        (await wire.call("GET", "/v1/things")).problem(503, "upstream_broken")


async def test_a_slow_reader_slows_the_service_and_gets_everything(client: Client, upstream: Upstream) -> None:
    size, sent = 64 * 1024 * 1024, 0

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        while sent < size:
            await send({"type": "http.response.body", "body": b"x" * 262_144, "more_body": True})
            sent += 262_144
        await send({"type": "http.response.body", "body": b""})

    async with client.connection() as wire:
        upstream.answer = much
        wire.writer.write(ASK)
        await asyncio.sleep(0.5)
        assert sent < size // 2  # what nobody reads is not collected in memory
        assert len((await wire.answer()).body) == size


async def test_a_client_that_goes_away_ends_the_request_behind_it(client: Client, upstream: Upstream) -> None:
    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        upstream.disconnected.set()

    async with client.connection() as wire:
        upstream.answer = wait
        wire.writer.write(ASK)
        await eventually(lambda: asyncio.sleep(0, upstream.seen), every=0.01)
    await asyncio.wait_for(upstream.disconnected.wait(), 10)
    upstream.answer = None
    assert (await client.call("GET", "/v1/things")).status == 200


async def test_answers_in_chunks_stay_in_chunks(wire: Wire, upstream: Upstream, quick: list[str]) -> None:
    async def parts(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})

    upstream.answer = parts
    answer = await wire.call("GET", "/v1/things")
    assert (answer.body, answer.header("transfer-encoding")) == (b"onetwo", "chunked")
    upstream.answer = None
    assert (await wire.call("GET", "/v1/things")).status == 200
    assert quick == ["/v1/things"] * 2


async def test_statuses_without_a_body_and_problems_pass(wire: Wire, upstream: Upstream) -> None:
    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Internal Server Error"})

    async def conflict(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 409, b'{"code": "x"}')

    for answer, status in ((empty, 204), (plain, 500), (conflict, 409)):
        upstream.answer = answer
        for _ in range(2):
            got = await wire.call("GET", "/v1/things")
            assert got.status == status
            assert got.header("x-request-id")
    upstream.answer = None
    assert (await wire.call("GET", "/v1/things")).status == 200


async def test_what_a_repeated_request_is_answered_is_what_the_first_one_was(
    wire: Wire, upstream: Upstream, quick: list[str]
) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(
            send, 200, b"{}", (b"x-mine", b"1"), (b"server", b"other"), (b"set-cookie", b"a"), (b"set-cookie", b"b")
        )

    upstream.answer = answer
    first, second = [await wire.call("GET", "/v1/things", "Accept: a/b") for _ in range(2)]
    assert quick == ["/v1/things"]
    changing = {"x-request-id", "traceparent", "date"}
    kept = [[pair for pair in sorted(each.headers) if pair[0] not in changing] for each in (first, second)]
    assert kept[0] == kept[1]
    assert ("set-cookie", "b") in kept[1]
    assert {name for name, _ in second.headers} >= changing
    assert "other" not in dict(second.headers).values()


async def test_a_server_without_the_extension_gets_messages(
    wire: Wire, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await wire.call("GET", "/v1/things")
    monkeypatch.setattr(EdgeProtocol, "_write_whole", lambda *_: False)
    after = await wire.call("GET", "/v1/things")
    assert (after.status, after.body) == (before.status, before.body)
    assert {name for name, _ in after.headers} == {name for name, _ in before.headers}
    assert quick == ["/v1/things"] * 2


async def test_a_server_that_stops_says_so_in_a_repeated_answer(client: Client, quick: list[str]) -> None:
    async with client.connection() as wire:
        quick.clear()
        wire.writer.write(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await wire.answer()).header("connection") == "close"
        assert await wire.ended()
        assert quick == []
