"""Raw sockets against both planes: one meaning for every byte, or a refusal. `test_refusals.py` has the older half."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.types import Receive, Scope, Send

from chassis.testing import TokenMint, eventually
from tests.gateway.servers import Client, Upstream, Wire, gateway_before, read_body, reply, served

pytestmark = pytest.mark.usefixtures("plane")

HOST = b"Host: a\r\n"
GET = b"GET /v1/things HTTP/1.1\r\n" + HOST
POST = b"POST /v1/things HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def line(text: bytes) -> bytes:
    """A GET with this request line."""
    return text + b"\r\n" + HOST + b"\r\n"


def sized(length: bytes) -> bytes:
    """A POST whose Content-Length is this, with what follows the colon as it is."""
    return POST + b"Content-Length:" + length + b"\r\n\r\nabcde"


REFUSED = {
    # the request line
    "two spaces before the target": line(b"GET  /v1/things HTTP/1.1"),
    "two spaces before the version": line(b"GET /v1/things  HTTP/1.1"),
    "a tab before the target": line(b"GET\t/v1/things HTTP/1.1"),
    "a tab before the version": line(b"GET /v1/things\tHTTP/1.1"),
    "a space at the end": line(b"GET /v1/things HTTP/1.1 "),
    "a space at the beginning": line(b" GET /v1/things HTTP/1.1"),
    "a fragment": line(b"GET /v1/things#top HTTP/1.1"),
    "an empty fragment": line(b"GET /v1/things# HTTP/1.1"),
    "a fragment in the query": line(b"GET /v1/things?a=1#b HTTP/1.1"),
    "no version": line(b"GET /v1/things"),
    "no version and no header": b"GET /v1/things\r\n\r\n",
    "HTTP/0.9": line(b"GET /v1/things HTTP/0.9"),
    "HTTP/1.2": line(b"GET /v1/things HTTP/1.2"),
    "HTTP/2.0": line(b"GET /v1/things HTTP/2.0"),
    "HTTP/1.01": line(b"GET /v1/things HTTP/1.01"),
    "http/1.1": line(b"GET /v1/things http/1.1"),
    "RTSP/1.0": line(b"GET /v1/things RTSP/1.0"),
    "a method in small letters": line(b"get /v1/things HTTP/1.1"),
    "a method half in small letters": line(b"Get /v1/things HTTP/1.1"),
    "CONNECT": line(b"CONNECT a:80 HTTP/1.1"),
    "CONNECT to a path": line(b"CONNECT /v1/things HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a control byte in the target": line(b"GET /v1/th\x01ngs HTTP/1.1"),
    "a byte over 127 in the target": line(b"GET /v1/th\xe4ngs HTTP/1.1"),
    "NUL in the target": line(b"GET /v1/things\0 HTTP/1.1"),
    "absolute form without a path": line(b"GET http://evil HTTP/1.1"),
    "a bare line feed after the request line": b"GET /v1/things HTTP/1.1\n" + HOST + b"\r\n",
    "a bare carriage return after the request line": b"GET /v1/things HTTP/1.1\r" + HOST + b"\r\n",
    "bare line feeds before it": b"\n\n" + GET + b"\r\n",
    "a bare carriage return before it": b"\r" + GET + b"\r\n",
    "two empty lines before it": b"\r\n\r\n" + GET + b"\r\n",
    # lengths
    "a length with a sign": sized(b" +5"),
    "a negative length": sized(b" -5"),
    "a length with a space within": sized(b" 5 5"),
    "a length with a space after it": sized(b" 5 "),
    "a length with a tab after it": sized(b" 5\t"),
    "a hexadecimal length": sized(b" 0x5"),
    "a list of equal lengths": sized(b" 5, 5"),
    "a list without a space": sized(b" 5,5"),
    "a length with an underscore": sized(b" 5_0"),
    "a length with a point": sized(b" 5.0"),
    "a length with other digits": sized(b" \xd9\xa5"),
    "an empty length": sized(b" "),
    "a length over 2^64": sized(b" 18446744073709551621"),
    "a length over 15 digits": sized(b" 9007199254740993000"),
    "a length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a space before the colon of a length": POST + b"Content-Length : 5\r\n\r\nabcde",
    # transfer codings
    "a list that begins empty": POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "a list that ends empty": POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding: chun\r\n ked\r\n\r\n0\r\n\r\n",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/things HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # chunks
    "a chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "a space before a chunk size": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "a space after a chunk size": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with an underscore": CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "a chunk size over 2^64": CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "a bare line feed after a chunk size": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "a bare line feed after a chunk": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a line feed in an extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a carriage return in an extension": CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "NUL in an extension": CHUNKED + b"3;a\0\r\nabc\r\n0\r\n\r\n",
    "a line break in a quoted extension": CHUNKED + b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
    "an empty extension": CHUNKED + b"3;\r\nabc\r\n0\r\n\r\n",
    "a space before an extension": CHUNKED + b"3 ;a\r\nabc\r\n0\r\n\r\n",
    "a bare line feed at the end of chunks": CHUNKED + b"0\r\n\n",
    "a folded trailer": CHUNKED + b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a length among the trailers": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding among the trailers": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    # headers
    "a folded header": GET + b"X-A: 1\r\n 2\r\n\r\n",
    "a header folded with a tab": GET + b"X-A: 1\r\n\t2\r\n\r\n",
    "a folded first header": b"GET /v1/things HTTP/1.1\r\n Host: a\r\n\r\n",
    "a bare line feed after a header": GET + b"X-A: 1\nX-B: 2\r\n\r\n",
    "a bare line feed at the end": GET + b"\n",
    "a carriage return in a value": GET + b"X-A: 1\r2\r\n\r\n",
    "two carriage returns": GET + b"X-A: 1\r\r\n\r\n",
    "NUL in a value": GET + b"X-A: 1\0\r\n\r\n",
    "DEL in a value": GET + b"X-A: 1\x7f\r\n\r\n",
    "a vertical tab in a value": GET + b"X-A: 1\x0b2\r\n\r\n",
    "a space before a colon": GET + b"X-A : 1\r\n\r\n",
    "a space in a name": GET + b"X A: 1\r\n\r\n",
    "a bracket in a name": GET + b"X[A]: 1\r\n\r\n",
    "an empty name": GET + b": 1\r\n\r\n",
    "no colon": GET + b"X-A\r\n\r\n",
    "no Host": b"GET /v1/things HTTP/1.1\r\n\r\n",
    "no Host, HTTP/1.0": b"GET /v1/things HTTP/1.0\r\n\r\n",
    "two Hosts": GET + b"Host: b\r\n\r\n",
    "the same Host twice": GET + HOST + b"\r\n",
    "two Hosts in one": b"GET /v1/things HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a Host with a user": b"GET /v1/things HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "a Host with a path": b"GET /v1/things HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "an empty Host": b"GET /v1/things HTTP/1.1\r\nHost:\r\n\r\n",
    "two Authorizations": GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two content types": POST + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    "two keys": POST + b"Idempotency-Key: a\r\nIdempotency-Key: a\r\nContent-Length: 0\r\n\r\n",
    "an upgrade with a body": POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
}  # fmt: skip


@pytest.mark.parametrize("way", ["fresh", "known", "in two pieces"])
async def test_what_could_be_read_in_two_ways_is_refused(client: Client, upstream: Upstream, way: str) -> None:
    """On a connection of its own, behind a request whose header section is known, and cut within the first line."""
    client.warm = client.warm and way == "known"

    async def ask(name: str, vector: bytes) -> None:
        async with client.connection() as wire:
            wire.writer.write(vector[:7] if way == "in two pieces" else vector)
            if way == "in two pieces":
                await asyncio.sleep(0.02)
                wire.writer.write(vector[7:])
            answer = await wire.answer()
            assert (answer.status, answer.header("connection")) == (400, "close"), name
            assert answer.header("content-type") == "application/problem+json", name
            assert await wire.ended(), name

    names = list(REFUSED)
    for start in range(0, len(names), 10):
        await asyncio.gather(*(ask(name, REFUSED[name]) for name in names[start : start + 10]))
    assert [seen for seen in upstream.seen if "body" in seen] == []


@pytest.mark.parametrize("name", ["two spaces before the target", "RTSP/1.0", "two Hosts", "a chunk size with a sign"])
async def test_what_is_refused_behind_a_request_ends_the_connection_after_its_answer(
    client: Client, upstream: Upstream, name: str
) -> None:
    async with client.connection() as wire:
        wire.writer.write(GET + b"\r\n" + REFUSED[name] + GET + b"\r\n")
        assert (await wire.answer()).status == 200
        rest = await asyncio.wait_for(wire.reader.read(), 15)
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
        assert rest.count(b"HTTP/1.1 ") <= 1
    assert len([seen for seen in upstream.seen if "body" in seen]) == 1


TAKEN = {
    "an empty line before it": b"\r\n" + GET + b"\r\n",
    "a byte over 127 in a value": GET + b"X-A: \xe4\r\n\r\n",
    "spaces and tabs around a value": GET + b"X-A: \t 1 \t\r\n\r\n",
    "an empty value": GET + b"X-A:\r\n\r\n",
    "a length after spaces": POST + b"Content-Length: \t 5\r\n\r\nabcde",
    "a length with zeros": POST + b"Content-Length: 0005\r\n\r\nabcde",
    "chunked in capitals": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "a chunk size with zeros": CHUNKED + b"0005\r\nabcde\r\n0\r\n\r\n",
    "chunk extensions": CHUNKED + b'5;a;b=c;d="e f"\r\nabcde\r\n0;g\r\n\r\n',
    "trailers": CHUNKED + b"5\r\nabcde\r\n0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n",
    "a Host with a port": b"GET /v1/things HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "a Host in IPv6": b"GET /v1/things HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
}


async def test_what_can_be_read_in_one_way_only_is_taken(client: Client, upstream: Upstream) -> None:
    for name, vector in TAKEN.items():
        answer = await client.send(vector)
        assert answer.status == 200, name
        assert upstream.last["body"] == (b"abcde" if vector.startswith(b"POST") else b""), name
        assert upstream.values("x-trailer") == [], name
        assert [value for value in upstream.values("host") if value != f"127.0.0.1:{upstream.port}"] == [], name
        assert len(upstream.values("content-length")) + len(upstream.values("transfer-encoding")) <= 1, name


async def test_http_1_0_is_answered_without_chunks_and_closed(client: Client, upstream: Upstream) -> None:
    async def parts(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    for answer, body in ((None, b'{"length": 0}'), (parts, b"onetwo")):
        upstream.answer = answer
        async with client.connection() as wire:
            wire.writer.write(b"GET /v1/things HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            got = await wire.answer()
            assert (got.status, got.body, got.header("transfer-encoding")) == (200, body, None)
            assert got.header("connection") == "close"
            assert await wire.ended()


ELSEWHERE = [
    "//evil.example/v1/things", "/internal/revocations", "/v1/things/..%2f..%2finternal", "/v1/things/%2e%2e/x",
    "/v1/things/%2e%2e", "/v1/things/%2E", "/v1/things/a%2fb", "/v1/things/a%2Fb", "/v1/things/a%5cb",
    "/v1/things/a\\b",
    "/v1/%2e%2e/internal/x", "/v1/things/../sessions", "/v1/things/.", "/v1/./things", "/%2fv1/things", "/v1%2fthings",
    "/v1%5cthings", "/v1/things/%00", "/v1/things/a%0d%0aHost:%20b", "/v1/things/%7f", "/v1/things;/../../internal/x",
    "http://evil//v1/things", "http://evil/v1/things/%2e%2e", "http://evil/internal/x",
]  # fmt: skip


async def test_no_spelling_of_a_target_changes_who_is_asked(mint: TokenMint, upstream: Upstream) -> None:
    """Identity and rewards are other servers here: nothing may reach them but what is theirs."""
    async with AsyncExitStack() as stack:
        identity = Upstream()
        port = await stack.enter_async_context(served(identity, lifespan="off"))
        client = await stack.enter_async_context(gateway_before(upstream.port, mint, identity_port=port))
        wire = await stack.enter_async_context(client.connection())
        for target in ELSEWHERE:
            (await wire.call("GET", target)).problem(404, "not_found")
        for target in (
            "http://evil/v1/things?a",
            f"http://127.0.0.1:{port}/v1/things?a",
            "HTTPS://u:p@evil:8/v1/things?a",
        ):
            assert (await wire.call("GET", target)).status == 200
            assert (upstream.last["target"], upstream.values("host")) == (
                "/v1/things?a",
                [f"127.0.0.1:{upstream.port}"],
            )
        assert identity.seen == []
        assert {seen["target"] for seen in upstream.seen} == {"/v1/things?a"}


async def test_no_value_breaks_out_of_its_line_on_the_way_in_or_out(client: Client, upstream: Upstream) -> None:
    """Escapes of line breaks stay escapes, in targets and in what the gateway itself writes about a request."""
    answer = await client.call("GET", "/v1/things?next=%0d%0aSet-Cookie:%20a=1", "X-Request-Id: a%0d%0ab")
    assert answer.status == 200
    assert upstream.last["target"] == "/v1/things?next=%0d%0aSet-Cookie:%20a=1"
    assert answer.header("set-cookie") is None
    assert "%" not in (answer.header("x-request-id") or "%")


async def test_who_states_an_identity_is_not_believed_however_often(client: Client, upstream: Upstream) -> None:
    names = [
        "X-User-Id", "X-Member-Id", "X-Role", "X-Roles", "X-Auth-User", "X-Internal-Secret", "X-Btrst-Member",
        "X-Forwarded-User", "X-Forwarded-For", "X-Client-Cert", "X-SSL-Client-DN", "X-Real-IP", "Forwarded",
    ]  # fmt: skip
    for spelled in (str.lower, str.upper, str.title):
        sent = [f"{spelled(name)}: {value}" for name in names for value in ("admin", "root")]
        assert (await client.call("GET", "/v1/things", *sent)).status == 200
        for name, value in upstream.last["headers"]:
            assert "admin" not in value, name
            assert "root" not in value, name
        assert upstream.values("x-forwarded-for") == ["127.0.0.1"]


# --- caps and deadlines -----------------------------------------------------------------------------------------------


async def test_a_body_is_counted_while_it_streams(upstream: Upstream, mint: TokenMint) -> None:
    """The refusal comes while the client still sends, and the service never sees the end of the body."""
    ended = asyncio.Event()

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            if not message.get("more_body"):
                await reply(send, 200, b"{}")
                return
        ended.set()

    async with gateway_before(upstream.port, mint, max_body_bytes=100_000) as client, client.connection() as wire:
        upstream.answer = reading
        part = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
        wire.writer.write(CHUNKED + part)
        await eventually(lambda: asyncio.sleep(0, any(seen["method"] == "POST" for seen in upstream.seen)))
        wire.writer.write(part * 11)
        (await wire.answer()).problem(413, "payload_too_large")
        await asyncio.wait_for(ended.wait(), 15)


async def test_headers_are_counted_and_weighed(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, max_header_bytes=4_000, max_headers=20) as client:
        (await client.call("GET", "/v1/things", *(["X-A: 1"] * 20))).problem(431, "headers_too_large")
        assert (await client.call("GET", "/v1/things", *(["X-A: 1"] * 19))).status == 200
        (await client.call("GET", "/v1/things", "X-A: " + "x" * 4_000)).problem(431, "headers_too_large")
        (await client.call("GET", "/v1/things", "x" * 4_000 + ": 1")).problem(431, "headers_too_large")
        assert (await client.call("GET", "/v1/things", "X-A: " + "x" * 3_900)).status == 200


ENDLESS = [b"GET /v1/things?" + b"x" * 1_000, GET + b"X-A: ", GET + b"X", CHUNKED + b"0\r\nX-A: ", CHUNKED + b"5;a="]


async def test_what_never_ends_is_not_collected(upstream: Upstream, mint: TokenMint) -> None:
    """A request line, a value, a name, a trailer, a chunk's extension."""

    async def send_for_ever(client: Client, beginning: bytes) -> None:
        async with client.connection() as wire:
            wire.writer.write(beginning)
            for _ in range(40):
                wire.writer.write(b"x" * 1_000)
                await asyncio.sleep(0.005)
            (await wire.answer()).problem(431, "headers_too_large")
            assert await wire.ended()

    async with gateway_before(upstream.port, mint, max_header_bytes=4_000, max_target_bytes=4_000) as client:
        await asyncio.gather(*(send_for_ever(client, beginning) for beginning in ENDLESS))


async def test_a_slow_header_is_cut_off(upstream: Upstream, mint: TokenMint) -> None:
    """Also when a byte comes now and then, and when the connection has served before."""

    async def send_slowly(client: Client, begun: bytes, later: bytes) -> None:
        async with client.connection() as wire:
            assert (await wire.call("GET", "/v1/things")).status == 200
            wire.writer.write(begun)
            dripping = asyncio.create_task(_drip(wire, later))
            (await wire.answer()).problem(408, "header_timeout")
            assert await wire.ended()
            dripping.cancel()

    slow = [(b"G", b"E"), (b"GET /v1/things HT", b"T"), (b"\r", b"\n"), (GET, b"X"), (GET + b"X-A: 1", b"2")]
    async with gateway_before(upstream.port, mint, head_seconds=0.6) as client:
        await asyncio.gather(*(send_slowly(client, begun, later) for begun, later in slow))


async def _drip(wire: Wire, byte: bytes) -> None:
    await asyncio.sleep(0.2)
    wire.writer.write(byte)


async def test_a_slow_body_is_cut_off(upstream: Upstream, mint: TokenMint) -> None:
    async def send_slowly(client: Client, head: bytes, part: bytes) -> None:
        async with client.connection() as wire:
            wire.writer.write(head)
            await _drip(wire, part)
            (await wire.answer()).problem(408, "body_timeout")
            assert await wire.ended()

    slow = [(POST + b"Content-Length: 100\r\n\r\n", b"x"), (CHUNKED, b"1\r\nx\r\n")]
    async with gateway_before(upstream.port, mint, body_seconds=0.6) as client:
        await asyncio.gather(*(send_slowly(client, head, part) for head, part in slow))
