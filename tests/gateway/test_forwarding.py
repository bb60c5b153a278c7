"""What goes through the gateway arrives as it was sent, and comes back as it was answered."""

import asyncio
import json
import re

import pytest
from starlette.types import Receive, Scope, Send

from chassis.testing import TokenMint
from tests.gateway.servers import Client, Upstream, gateway_before, read_body, reply

pytestmark = pytest.mark.usefixtures("plane")

CHUNKED = b"POST /v1/things HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_request_and_its_answer_go_through(client: Client, upstream: Upstream) -> None:
    answer = await client.call("PUT", "/v1/things/7?a=%2Fb&a=2", "Content-Type: application/json", body=b'{"x": 1}')
    assert (answer.status, json.loads(answer.body)) == (200, {"length": 8})
    assert upstream.last["method"] == "PUT"
    assert upstream.last["target"] == "/v1/things/7?a=%2Fb&a=2"
    assert upstream.last["body"] == b'{"x": 1}'
    assert upstream.values("content-length") == ["8"]
    assert upstream.values("host") == [f"127.0.0.1:{upstream.port}"]
    assert answer.header("content-type") == "application/json"


async def test_a_body_without_announced_length_arrives_whole_and_framed_once(
    client: Client, upstream: Upstream
) -> None:
    answer = await client.send(CHUNKED + b"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n")
    assert json.loads(answer.body) == {"length": 7}
    assert upstream.last["body"] == b"abcdefg"
    assert not (upstream.values("content-length") and upstream.values("transfer-encoding"))
    assert upstream.values("x-trailer") == []


async def test_bodies_stream_both_ways_while_both_sides_are_still_talking(client: Client, upstream: Upstream) -> None:
    async def shout(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            message = await receive()
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": True})
            if not message["more_body"]:
                break
        await send({"type": "http.response.body", "body": b""})

    upstream.answer = shout
    async with client.connection() as wire:
        wire.writer.write(CHUNKED)
        for word in (b"one", b"two", b"three"):
            wire.writer.write(b"%x\r\n%b\r\n" % (len(word), word))
            assert await asyncio.wait_for(wire.reader.readuntil(word.upper()), 5)
        wire.writer.write(b"0\r\n\r\n")
        assert (await wire.reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")


async def test_a_large_answer_comes_whole(client: Client, upstream: Upstream) -> None:
    size = 20 * 1024 * 1024

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        for _ in range(size // 65_536):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    upstream.answer = large
    answer = await client.call("GET", "/v1/things")
    assert len(answer.body) == size
    assert answer.header("content-length") == str(size)


async def test_head_is_answered_from_get_without_a_body(client: Client, upstream: Upstream) -> None:
    async with client.connection() as wire:
        answer = await wire.call("HEAD", "/v1/things")
        assert (answer.status, answer.header("content-length")) == (200, "13")
        assert upstream.last["method"] == "GET"
        assert (await wire.call("GET", "/v1/things")).body == b'{"length": 0}'


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_keep_the_connection(client: Client, upstream: Upstream, status: int) -> None:
    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"1"')]})
        await send({"type": "http.response.body", "body": b""})

    upstream.answer = empty
    async with client.connection() as wire:
        for _ in range(2):
            answer = await wire.call("GET", "/v1/things")
            assert (answer.status, answer.header("etag"), answer.header("transfer-encoding")) == (status, '"1"', None)


async def test_connections_are_kept_on_both_sides_and_pipelining_keeps_its_order(
    client: Client, upstream: Upstream
) -> None:
    peers: set[tuple[str, int]] = set()

    async def numbered(scope: Scope, receive: Receive, send: Send) -> None:
        peers.add(scope["client"])
        await read_body(receive)
        await reply(send, 200, scope["query_string"])

    upstream.answer = numbered
    async with client.connection() as wire:
        for index in range(5):
            assert (await wire.call("POST", f"/v1/things?{index}", body=b"{}")).body == b"%d" % index
        assert len(peers) == 1
        wire.writer.write(b"".join(b"GET /v1/things?%d HTTP/1.1\r\nHost: a\r\n\r\n" % index for index in range(5)))
        assert [(await wire.answer()).body for _ in range(5)] == [b"%d" % index for index in range(5)]


async def test_identity_and_hop_headers_do_not_go_in(client: Client, upstream: Upstream) -> None:
    sent = [
        "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6",
        "X-User-Id: 1", "X-Member-Id: 1", "X-Roles: admin", "X-Internal-Token: 1", "X-Real-IP: 6.6.6.6",
        "X-Original-URL: /internal", "X-Rewrite-URL: /internal", "X-HTTP-Method-Override: DELETE",
        "Proxy-Authorization: Basic eA==", "TE: trailers", "Connection: keep-alive, X-Secret", "X-Secret: 1",
        "Keep-Alive: timeout=5", "X-Kept: yes", "Accept-Language: de",
    ]  # fmt: skip
    await client.call("GET", "/v1/things", *sent)
    got = dict(upstream.last["headers"])
    assert set(got) == {
        "host", "x-kept", "accept-language", "x-request-id", "traceparent",
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
    }  # fmt: skip
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http"
    assert got["x-forwarded-host"] == "gateway.test"


async def test_a_connection_header_cannot_remove_what_matters(client: Client, upstream: Upstream) -> None:
    await client.call(
        "PUT", "/v1/things/7", "Connection: content-type, x-request-id", "Content-Type: text/x", body=b"1"
    )
    assert upstream.values("content-type") == ["text/x"]
    assert len(upstream.values("x-request-id")) == 1


async def test_forwarded_headers_are_believed_from_configured_proxies_only(upstream: Upstream, mint: TokenMint) -> None:
    said = ("X-Forwarded-For: 9.9.9.9, 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: api.example")
    async with gateway_before(upstream.port, mint, trusted_proxies="127.0.0.0/8,10.0.0.0/8") as client:
        await client.call("GET", "/v1/things", *said)
        assert upstream.values("x-forwarded-for") == ["9.9.9.9, 10.0.0.1, 127.0.0.1"]
        assert upstream.values("x-forwarded-proto") == ["https"]
        assert upstream.values("x-forwarded-host") == ["api.example"]
    async with gateway_before(upstream.port, mint, trusted_proxies="192.0.2.0/24") as client:
        await client.call("GET", "/v1/things", *said)
        assert upstream.values("x-forwarded-for") == ["127.0.0.1"]


async def test_hop_headers_of_the_service_do_not_come_out(client: Client, upstream: Upstream) -> None:
    async def chatty(scope: Scope, receive: Receive, send: Send) -> None:
        own = [(b"server", b"inner"), (b"keep-alive", b"timeout=1"), (b"x-request-id", b"inner"), (b"x-kept", b"1")]
        await reply(send, 200, b"{}", *own, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))

    upstream.answer = chatty
    answer = await client.call("GET", "/v1/things", "X-Request-Id: outer")
    assert answer.header("x-request-id") == "outer"
    assert answer.header("x-kept") == "1"
    assert answer.header("server") is None
    assert answer.header("keep-alive") is None
    assert answer.header("date")
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


async def test_good_ids_are_kept_and_bad_ones_replaced(client: Client, upstream: Upstream) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await client.call("GET", "/v1/things", "X-Request-Id: abc-1", f"traceparent: {trace}")
    assert answer.header("x-request-id") == "abc-1"
    assert upstream.values("x-request-id") == ["abc-1"]
    assert upstream.values("traceparent") == [answer.header("traceparent")]
    assert answer.header("traceparent")[:36] == trace[:36]  # type: ignore[index]
    assert answer.header("traceparent") != trace
    bad = (
        ["X-Request-Id: a b"], ['X-Request-Id: "'], ["X-Request-Id: " + "x" * 129],
        ["X-Request-Id: a", "X-Request-Id: b"], ["traceparent: 00-0-0-0"], [f"traceparent: {trace.upper()}"],
        [f"traceparent: {trace}", f"traceparent: {trace}"],
    )  # fmt: skip
    for headers in bad:
        answer = await client.call("GET", "/v1/things", *headers)
        assert answer.status == 200
        assert re.fullmatch(r"[0-9a-f]{32}", answer.header("x-request-id") or "")
        assert "0af7651916cd43dd8448eb211c80319c" not in (answer.header("traceparent") or "")
        assert upstream.values("x-request-id") == [answer.header("x-request-id")]


async def test_a_client_that_goes_away_ends_the_request_behind_it(client: Client, upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    upstream.answer = slow
    async with client.connection() as wire:
        wire.writer.write(b"GET /v1/things HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.1)
    await asyncio.wait_for(gone.wait(), 5)


async def test_a_client_that_goes_away_within_its_body_ends_the_request(client: Client, upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ConnectionError):
            await read_body(receive)
        gone.set()

    upstream.answer = reading
    async with client.connection() as wire:
        wire.writer.write(b"POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        await asyncio.sleep(0.2)
        assert upstream.seen
    await asyncio.wait_for(gone.wait(), 5)


async def test_a_client_that_goes_away_within_the_answer_stops_the_service(client: Client, upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        ended = asyncio.create_task(_disconnect(receive))
        while not ended.done():
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            await asyncio.sleep(0.01)
        gone.set()

    upstream.answer = endless
    async with client.connection() as wire:
        wire.writer.write(b"GET /v1/things HTTP/1.1\r\nHost: a\r\n\r\n")
        await wire.reader.readexactly(5_000)
    await asyncio.wait_for(gone.wait(), 5)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_expect_continue_is_served(client: Client) -> None:
    head = b"POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with client.connection() as wire:
        wire.writer.write(head)
        assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        wire.writer.write(b"{}")
        assert json.loads((await wire.answer()).body) == {"length": 2}
