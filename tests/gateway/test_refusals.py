"""What the gateway does not let in, and the problem document it answers with instead."""

import asyncio
import json

import pytest
from starlette.types import Receive, Scope, Send

from chassis.ids import new_id
from chassis.testing import TokenMint
from tests.gateway.servers import Client, Upstream, gateway_before, reply, served

pytestmark = pytest.mark.usefixtures("plane")

GET = b"GET /v1/things HTTP/1.1\r\n"
POST = b"POST /v1/things HTTP/1.1\r\n"
HOST = b"Host: a\r\n"

SMUGGLING = {
    "length and chunked": POST + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    "chunked and length": POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET",
    "two lengths": POST + HOST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "the same length twice": POST + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + HOST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + HOST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + HOST + b"Content-Length: -3\r\n\r\nabc",
    "a hexadecimal length": POST + HOST + b"Content-Length: 0x3\r\n\r\nabc",
    "an empty length": POST + HOST + b"Content-Length: \r\n\r\nabc",
    "an endless length": POST + HOST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "chunked twice": POST + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": POST + HOST + b"Transfer-Encoding: identity\r\n\r\nabc",
    "xchunked": POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a tab": POST + HOST + b"Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /v1/things HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + HOST + b"Content-Length : 3\r\n\r\nabc",
    "a space before the name": POST + HOST + b" Content-Length: 3\r\n\r\nabc",
    "folding": GET + HOST + b"X-A: 1\r\n 2\r\n\r\n",
    "folding with a tab": GET + HOST + b"X-A: 1\r\n\t2\r\n\r\n",
    "bare line feeds": b"GET /v1/things HTTP/1.1\nHost: a\n\n",
    "one bare line feed": GET + b"Host: a\nX-A: 1\r\n\r\n",
    "a bare carriage return": GET + HOST + b"X-A: 1\rX-B: 2\r\n\r\n",
    "NUL in a value": GET + HOST + b"X-A: 1\x002\r\n\r\n",
    "NUL in a name": GET + HOST + b"X\x00A: 1\r\n\r\n",
    "an empty name": GET + HOST + b": 1\r\n\r\n",
    "no Host": GET + b"\r\n",
    "no Host in HTTP/1.0": b"GET /v1/things HTTP/1.0\r\n\r\n",
    "two Hosts": GET + HOST + b"Host: b\r\n\r\n",
    "the same Host twice": GET + HOST + HOST + b"\r\n",
    "an empty Host": GET + b"Host: \r\n\r\n",
    "a Host with a path": GET + b"Host: a/b\r\n\r\n",
    "a Host with a user": GET + b"Host: u@a\r\n\r\n",
    "two Authorizations": GET + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two keys": POST + HOST + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 0\r\n\r\n",
    "a space in the target": b"GET /v1/things a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a line break in the target": b"GET /v1/things\r\nX: HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"GET v1/things HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /v1/things\r\n\r\n",
    "HTTP/2.0": b"GET /v1/things HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/3.7": b"GET /v1/things HTTP/3.7\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"GETT /v1/things HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "an upgrade with a body": POST + HOST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
}


REFUSALS = {"malformed_request", "invalid_framing", "invalid_host", "invalid_version", "repeated_header"}


async def test_what_two_readers_could_read_differently_is_refused(client: Client, upstream: Upstream) -> None:
    for name, vector in SMUGGLING.items():
        async with client.connection() as wire:
            wire.writer.write(vector)
            answer = await wire.answer()
            assert answer.status == 400, name
            assert answer.problem(400, json.loads(answer.body)["code"])["code"] in REFUSALS, name
            assert answer.header("connection") == "close", name
            assert await wire.ended(), name
        assert upstream.seen == [], name


@pytest.mark.parametrize("end", [b"zz\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"3 ;\n"])
async def test_a_body_that_turns_out_badly_framed_never_completes(
    client: Client, upstream: Upstream, end: bytes
) -> None:
    completed = asyncio.Event()

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                completed.set()
                return

    upstream.answer = reading
    async with client.connection() as wire:
        wire.writer.write(POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        wire.writer.write(end)
        answer = await wire.answer()
        answer.problem(400, "malformed_request")
        assert await wire.ended()
    assert not completed.is_set()


async def test_rubbish_after_a_request_does_not_spoil_its_answer(client: Client) -> None:
    async with client.connection() as wire:
        wire.writer.write(GET + HOST + b"\r\n" + b"RUBBISH\r\n\r\n")
        assert (await wire.answer()).status == 200
        assert await wire.ended()


UNKNOWN = [
        "/", "/v1", "/v2/things", "/v1/things/", "//v1/things", "/v1//things", "/v1/things//7", "/V1/things",
        "/%76%31/things", "/v1/%74hings", "/v1%2fthings", "/v1%2Fthings/7", "/v1/things/7%2f8", "/v1/things/7%5c8",
        "/v1/things/.", "/v1/things/..", "/v1/things/%2e%2e", "/v1/things/%2e", "/v1/things/..%2f..%2finternal",
        "/v1/things/%73ummary", "/v1/things/7%00", "/v1/things/7%0d%0aX:%201", "/v1/things/%", "/v1/things/%zz",
        "/v1/../internal/x", "/internal/x", "/internal/revocations", "/v1/internal", "/%69nternal/x", "/./internal/x",
        "//evil.example/v1/things", "/v1/things/7;/../x", "/v1/things/\\x",
]  # fmt: skip


async def test_unknown_paths_are_not_found_whatever_their_spelling(client: Client, upstream: Upstream) -> None:
    async with client.connection() as wire:
        for target in UNKNOWN:
            answer = await wire.call("GET", target)
            assert answer.status == 404, target
            answer.problem(404, "not_found")
            assert upstream.seen == [], target


async def test_the_upstream_comes_from_the_table_and_never_from_the_request(client: Client, upstream: Upstream) -> None:
    elsewhere = Upstream()
    async with served(elsewhere, lifespan="off") as port:
        absolute = f"GET http://127.0.0.1:{port}/v1/things HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        assert (await client.send(absolute.encode())).status == 200
        assert (upstream.last["target"], upstream.values("host")) == ("/v1/things", [f"127.0.0.1:{upstream.port}"])
        (await client.send(f"GET http://127.0.0.1:{port}/x HTTP/1.1\r\nHost: a\r\n\r\n".encode())).problem(
            404, "not_found"
        )
        (await client.send(f"GET //127.0.0.1:{port}/v1/things HTTP/1.1\r\nHost: a\r\n\r\n".encode())).problem(
            404, "not_found"
        )
        await client.call("GET", f"/v1/things?url=http://127.0.0.1:{port}/", f"X-Forwarded-Host: 127.0.0.1:{port}")
        await client.call("GET", "/v1/things/@127.0.0.1")
        await client.call("GET", f"/v1/things/http:@127.0.0.1:{port}")
    assert elsewhere.seen == []
    assert len(upstream.seen) == 4


async def test_a_parameter_keeps_its_escapes(client: Client, upstream: Upstream) -> None:
    await client.call("GET", "/v1/things/a%20b%C3%A4")
    assert upstream.last["target"] == "/v1/things/a%20b%C3%A4"


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_known_path_names_its_methods(client: Client, upstream: Upstream, method: str) -> None:
    answer = await client.call(method, "/v1/things/7")
    answer.problem(405, "method_not_allowed")
    assert answer.header("allow") == "DELETE, GET, HEAD, PUT"
    assert upstream.seen == []


async def test_tokens_are_checked_at_the_edge(client: Client, upstream: Upstream, mint: TokenMint) -> None:
    token = mint.token(new_id(), "client")
    answer = await client.call("GET", "/v1/mine")
    answer.problem(401, "unauthorized")
    assert answer.header("www-authenticate") == "Bearer"
    for bad in ("Bearer x", "Bearer ", "Basic eDp5", f"Bearer {token}x", f"Bearer {token[:-9]}", "Bearer a.b.c"):
        for target in ("/v1/mine", "/v1/things"):
            (await client.call("GET", target, f"Authorization: {bad}")).problem(401, "token_invalid")
    expired = mint.token(new_id(), exp=1)
    (await client.call("GET", "/v1/things", f"Authorization: Bearer {expired}")).problem(401, "token_expired")
    for wrong in (mint.token(new_id(), aud="other"), mint.token(new_id(), iss="other"), mint.token(new_id(), sub=None)):
        (await client.call("GET", "/v1/mine", f"Authorization: Bearer {wrong}")).problem(401, "token_invalid")
    assert upstream.seen == []
    assert (await client.call("GET", "/v1/mine", f"Authorization: bearer {token}")).status == 200
    assert upstream.values("authorization") == [f"bearer {token}"]


async def test_sessions_are_open_to_who_carries_an_old_token(client: Client, upstream: Upstream) -> None:
    assert (await client.call("POST", "/v1/sessions", "Authorization: Bearer old", body=b"{}")).status == 200
    (await client.call("DELETE", "/v1/sessions/current", "Authorization: Bearer old")).problem(401, "token_invalid")
    (await client.call("DELETE", "/v1/sessions/current")).problem(401, "unauthorized")


async def test_an_ended_session_stops_within_five_seconds(client: Client, upstream: Upstream, mint: TokenMint) -> None:
    member, session = new_id(), new_id()
    token = f"Authorization: Bearer {mint.token(member, session_id=session)}"
    assert (await client.call("GET", "/v1/mine", token)).status == 200
    mint.revoke("session", session)
    for _ in range(50):
        answer = await client.call("GET", "/v1/mine", token)
        if answer.status == 401:
            break
        await asyncio.sleep(0.1)
    answer.problem(401, "session_ended")


async def test_a_body_over_the_cap_is_refused_before_and_while_it_comes(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, max_body_bytes=1_000) as client:
        assert (await client.call("POST", "/v1/things", body=b"x" * 1_000)).status == 200
        (await client.call("POST", "/v1/things", body=b"x" * 1_001)).problem(413, "payload_too_large")
        announced = POST + HOST + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
        (await client.send(announced)).problem(413, "payload_too_large")
        assert len(upstream.seen) == 1
        parts = b"1f4\r\n" + b"x" * 500 + b"\r\n"
        async with client.connection() as wire:
            wire.writer.write(POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                wire.writer.write(parts)
                await asyncio.sleep(0.05)
            (await wire.answer()).problem(413, "payload_too_large")
            wire.writer.write(b"0\r\n\r\n")
            assert (await wire.call("GET", "/v1/things")).status == 200
        assert [request["method"] for request in upstream.seen if "body" in request] == ["POST", "GET"]


async def test_who_goes_on_sending_after_the_answer_is_cut_off(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, max_body_bytes=1_000) as client, client.connection() as wire:
        wire.writer.write(POST + HOST + b"Content-Length: 9999999\r\n\r\n" + b"x" * 2_000)
        (await wire.answer()).problem(413, "payload_too_large")
        assert await wire.ended()


async def test_headers_over_the_caps_are_refused(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, max_header_bytes=4_000, max_headers=20) as client:
        (await client.call("GET", "/v1/things", f"X-A: {'x' * 4_000}")).problem(431, "headers_too_large")
        (await client.call("GET", "/v1/things", *(f"X-{i}: 1" for i in range(20)))).problem(431, "headers_too_large")
        (await client.call("GET", f"/v1/things?{'x' * 8_200}")).problem(414, "target_too_long")
        (await client.call("GET", f"/openapi.json?{'x' * 8_200}")).problem(414, "target_too_long")
        async with client.connection() as wire:  # a header that never ends
            wire.writer.write(GET + b"X-A: ")
            for _ in range(8):
                wire.writer.write(b"x" * 4_000)
                await asyncio.sleep(0.01)
            (await wire.answer()).problem(431, "headers_too_large")
            assert await wire.ended()
    assert upstream.seen == []


async def test_slow_senders_are_cut_off(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, warm=False, head_seconds=0.5, body_seconds=0.5) as client:
        async with client.connection() as wire:
            wire.writer.write(GET + b"Host: a\r\nX-A")
            (await wire.answer()).problem(408, "header_timeout")
            assert await wire.ended()
        async with client.connection() as wire:  # never says a word
            assert await wire.ended()
        async with client.connection() as wire:
            wire.writer.write(POST + HOST + b"Content-Length: 100\r\n\r\n")
            for _ in range(6):
                wire.writer.write(b"x")
                await asyncio.sleep(0.1)
            (await wire.answer()).problem(408, "body_timeout")
        async with client.connection() as wire:
            wire.writer.write(POST + HOST + b"Content-Length: 100\r\n\r\n")
            (await wire.answer()).problem(408, "body_timeout")
        async with client.connection() as wire:  # a kept connection may rest longer than that
            assert (await wire.call("GET", "/v1/things")).status == 200
            await asyncio.sleep(0.8)
            assert (await wire.call("GET", "/v1/things")).status == 200


async def test_rates_are_limited_for_each_token_and_address(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, warm=False, rate_limit=5) as client, client.connection() as wire:
        one, two = (f"Authorization: Bearer {mint.token(new_id())}" for _ in range(2))
        for who in ([one], [two], []):
            statuses = [(await wire.call("GET", "/v1/things", *who)).status for _ in range(6)]
            assert statuses == [200] * 5 + [429]
        answer = await wire.call("GET", "/v1/things", one)
        answer.problem(429, "rate_limited")
        assert answer.header("retry-after") == "1"
        assert answer.header("ratelimit") == '"default";r=0;t=1'
        assert answer.header("ratelimit-policy") == '"default";q=5;w=1'
        answer = await wire.call("GET", "/v1/mine", "Authorization: Bearer wrong")
        answer.problem(429, "rate_limited")
        await asyncio.sleep(1.1)
        assert (await wire.call("GET", "/v1/things", one)).status == 200


async def test_too_much_at_once_is_refused_at_once(upstream: Upstream, mint: TokenMint) -> None:
    go_on = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await reply(send, 200, b"{}")

    upstream.answer = waiting
    async with gateway_before(upstream.port, mint, max_in_flight=2) as client:
        busy = [asyncio.create_task(client.call("GET", "/v1/things")) for _ in range(2)]
        await asyncio.sleep(0.1)
        answer = await client.call("GET", "/v1/things")
        answer.problem(503, "overloaded")
        assert answer.header("retry-after") == "1"
        go_on.set()
        assert [(await task).status for task in busy] == [200, 200]


async def test_an_upgrade_is_not_made_and_ends_the_connection(client: Client) -> None:
    async with client.connection() as wire:
        answer = await wire.call("GET", "/v1/things", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await wire.ended()
