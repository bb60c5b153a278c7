"""Pages of other origins: who may read answers, and what a browser is told before a page calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from chassis.ids import new_id
from chassis.settings import SettingsFault
from chassis.testing import TokenMint
from gateway.settings import GatewaySettings
from tests.gateway.servers import Client, RawAnswer, Upstream, gateway_before, reply

pytestmark = pytest.mark.usefixtures("plane")

APP = "https://app.example"
LOCAL = "http://localhost:5173"
ORIGIN = f"Origin: {APP}"
ASKS_GET = "Access-Control-Request-Method: GET"


@pytest.fixture
async def shared(upstream: Upstream, mint: TokenMint) -> AsyncIterator[Client]:
    """A client of a gateway whose answers pages of two origins may read."""
    async with gateway_before(upstream.port, mint, cors_origins=f"{APP}, {LOCAL}") as made:
        yield made


def told(answer: RawAnswer) -> dict[str, str]:
    """What an answer says about other origins. Each header comes once."""
    found = [(name, value) for name, value in answer.headers if name.startswith("access-control-")]
    assert len(found) == len(dict(found)), found
    return dict(found)


def readable(answer: RawAnswer, origin: str = APP) -> bool:
    """Whether a page may read the answer, and the headers of ours in it; and whether caches know that it depends."""
    said = told(answer)
    exposed = {"x-request-id", "traceparent", "location", "retry-after", "ratelimit", "deprecation", "sunset", "etag"}
    allowed = said.get("access-control-allow-origin") == origin
    if allowed:
        assert exposed <= set(said["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in said
    assert ("vary", "Origin") in answer.headers, answer
    return allowed


async def test_without_a_list_nothing_is_said(client: Client) -> None:
    async with client.connection() as wire:
        for target in ("/v1/things", "/v1/mine", "/openapi.json", "/nowhere"):
            answer = await wire.call("GET", target, ORIGIN)
            assert (told(answer), answer.header("vary")) == ({}, None)
        answer = await wire.call("OPTIONS", "/v1/things", ORIGIN, ASKS_GET)
        answer.problem(405, "method_not_allowed")
        assert (told(answer), answer.header("vary")) == ({}, None)


async def test_pages_of_the_list_may_read_every_answer(shared: Client, mint: TokenMint) -> None:
    token = f"Authorization: Bearer {mint.token(new_id())}"
    async with shared.connection() as wire:
        for origin in (APP, LOCAL, APP):
            for _ in range(3):  # the third of the kind goes the shortest way
                for headers in ([f"Origin: {origin}"], [f"Origin: {origin}", token]):
                    answer = await wire.call("GET", "/v1/things", *headers)
                    assert answer.status == 200
                    assert readable(answer, origin)
        answer = await wire.call("POST", "/v1/things", ORIGIN, body=b"{}")
        assert (answer.status, readable(answer)) == (200, True)
        answer = await wire.call("HEAD", "/v1/things", ORIGIN)
        assert (answer.status, readable(answer)) == (200, True)


async def test_no_other_page_may_read_any(shared: Client) -> None:
    strangers = (
        "https://app.example.evil.example", "http://app.example", "https://app.example:8443", "https://APP.example",
        "https://evil.example", "null", "*", "", f"{APP}/", f"{APP}, {LOCAL}", f"{APP} {LOCAL}", APP[:-1],
    )  # fmt: skip
    async with shared.connection() as wire:
        for origin in strangers:
            for _ in range(3):
                answer = await wire.call("GET", "/v1/things", f"Origin: {origin}")
                assert (answer.status, told(answer), readable(answer)) == (200, {}, False), origin
            refused = await wire.call("OPTIONS", "/v1/things", f"Origin: {origin}", ASKS_GET)
            refused.problem(403, "origin_not_allowed")
            assert (told(refused), readable(refused)) == ({}, False), origin
        for _ in range(3):
            answer = await wire.call("GET", "/v1/things")  # what no page sent may be cached for one
            assert (told(answer), readable(answer)) == ({}, False)
    twice = await shared.call("GET", "/v1/things", ORIGIN, f"Origin: {LOCAL}")
    twice.problem(400, "repeated_header")


async def test_the_origins_of_one_connection_are_not_mixed_up(shared: Client) -> None:
    async with shared.connection() as wire:
        for _ in range(4):
            for origin in (APP, LOCAL):
                assert readable(await wire.call("GET", "/v1/things", f"Origin: {origin}"), origin)
            assert told(await wire.call("GET", "/v1/things")) == {}


async def test_a_page_is_told_what_it_may_send(shared: Client, upstream: Upstream) -> None:
    async with shared.connection() as wire:
        asks = (ORIGIN, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,x-other")
        answer = await wire.call("OPTIONS", "/v1/things/7", *asks)
        assert (answer.status, answer.body, answer.header("content-length")) == (204, b"", None)
        said = told(answer)
        assert said["access-control-allow-methods"] == "DELETE, GET, HEAD, PUT"
        assert {"authorization", "content-type", "idempotency-key", "last-event-id", "if-match"} <= set(
            said["access-control-allow-headers"].split(", ")
        )
        assert "x-other" not in said["access-control-allow-headers"]
        assert said["access-control-max-age"] == "600"
        assert readable(answer)
        assert answer.header("x-request-id")
        mine = await wire.call("OPTIONS", "/v1/mine", ORIGIN, ASKS_GET)  # before it knows whether a token is needed
        assert (mine.status, told(mine)["access-control-allow-methods"]) == (204, "GET, HEAD")
        for page in ("/openapi.json", "/healthz"):
            own = await wire.call("OPTIONS", page, ORIGIN, ASKS_GET)
            assert (own.status, told(own)["access-control-allow-methods"]) == (204, "GET, HEAD")
        for target, status in (("/v1/nothing", 404), ("/internal/revocations", 404), ("/metrics", 405)):
            refused = await wire.call("OPTIONS", target, ORIGIN, ASKS_GET)
            assert refused.status == status
            assert "access-control-allow-methods" not in told(refused)
        plain = await wire.call("OPTIONS", "/v1/things", ORIGIN)  # no preflight: a request like any other
        plain.problem(405, "method_not_allowed")
        assert readable(plain)
    assert upstream.seen == []


async def test_errors_and_the_own_pages_are_readable(upstream: Upstream, mint: TokenMint) -> None:
    settings: dict[str, Any] = {"max_body_bytes": 1_000, "max_header_bytes": 2_000, "cors_origins": APP}
    async with gateway_before(upstream.port, mint, **settings) as client, client.connection() as wire:
        for method, target, headers, body, status in (
            ("GET", "/v1/mine", (), b"", 401),
            ("GET", "/v1/things", ("Authorization: Bearer x",), b"", 401),
            ("GET", "/v1/nothing", (), b"", 404),
            ("PATCH", "/v1/things", (), b"", 405),
            ("POST", "/v1/things", (), b"x" * 1_001, 413),
            ("GET", "/openapi.json", (), b"", 200),
            ("GET", "/readyz", (), b"", 200),
            ("POST", "/healthz", (), b"{}", 405),
        ):
            answer = await wire.call(method, target, ORIGIN, *headers, body=body)
            assert answer.status == status
            assert readable(answer), target
    async with gateway_before(upstream.port, mint, **settings) as client:
        for headers, status in ((("Host: b",), 400), ((f"X-A: {'x' * 2_000}",), 431), ((f"X-A: {'x' * 20_000}",), 431)):
            answer = await client.call("GET", "/v1/things", ORIGIN, *headers)
            assert answer.status == status
            assert readable(answer), headers[0][:9]


async def test_a_streamed_413_is_readable(upstream: Upstream, mint: TokenMint) -> None:
    async with gateway_before(upstream.port, mint, max_body_bytes=1_000, cors_origins=APP) as client:
        head = f"POST /v1/things HTTP/1.1\r\nHost: a\r\n{ORIGIN}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        answer = await client.send(head + b"5dc\r\n" + b"x" * 1_500 + b"\r\n0\r\n\r\n")
        answer.problem(413, "payload_too_large")
        assert readable(answer)


async def test_limits_and_lost_services_are_readable(upstream: Upstream, mint: TokenMint) -> None:
    settings: dict[str, Any] = {"cors_origins": APP, "rate_limit": 3, "warm": False}
    async with gateway_before(upstream.port, mint, **settings) as client, client.connection() as wire:
        answers = [await wire.call("GET", "/v1/things", ORIGIN) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert all(readable(answer) for answer in answers)
        assert answers[-1].header("retry-after")

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 503, b"{}", (b"access-control-allow-origin", b"*"))

    short: dict[str, Any] = {"cors_origins": APP, "retry_seconds": 0.1}
    async with gateway_before(upstream.port, mint, **short) as client, client.connection() as wire:
        upstream.answer = failing
        answer = await wire.call("GET", "/v1/things", ORIGIN)
        assert (answer.status, readable(answer)) == (503, True)
    async with gateway_before(1, mint, **short) as client:
        answer = await client.call("GET", "/v1/things", ORIGIN)
        answer.problem(503, "upstream_unavailable")
        assert readable(answer)


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("listed", [False, True])
async def test_what_a_service_says_about_origins_stays_here(
    upstream: Upstream, mint: TokenMint, *, in_parts: bool, listed: bool
) -> None:
    loud = [
        (b"Access-Control-" + name, value)
        for name, value in (
            (b"Allow-Origin", b"*"), (b"Allow-Credentials", b"true"), (b"Allow-Methods", b"*"), (b"Max-Age", b"9"),
            (b"Allow-Headers", b"*"), (b"Expose-Headers", b"*"), (b"Allow-Private-Network", b"true"),
        )
    ]  # fmt: skip

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if not in_parts:
            await reply(send, 200, b"{}", (b"vary", b"Accept"), *loud)
            return
        kind = (b"content-type", b"text/event-stream")
        await send({"type": "http.response.start", "status": 200, "headers": [kind, (b"vary", b"Accept"), *loud]})
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body"})

    upstream.answer = answering
    origins = APP if listed else ""
    async with gateway_before(upstream.port, mint, cors_origins=origins) as client, client.connection() as wire:
        for _ in range(3):
            answer = await wire.call("GET", "/v1/things", ORIGIN)
            assert answer.body == (b"data: 1\n\ndata: 2\n\n" if in_parts else b"{}")
            assert ("vary", "Accept") in answer.headers
            if listed:
                assert readable(answer)
                assert set(told(answer)) == {"access-control-allow-origin", "access-control-expose-headers"}
            else:
                assert told(answer) == {}


@pytest.mark.parametrize(
    "origins",
    [
        "*", "null", "app.example", "https://app.example/", "https://app.example/x", "https://App.example", "https://",
        "https://app.example:443", "http://app.example:80", "https://app.example:99999", "ftp://app.example",
        "https://me@app.example", "https://*.example", "https://app.example https://b.example", "https://münchen.example",
        "https://app.example,*",
    ],
)  # fmt: skip
def test_what_is_no_origin_keeps_the_gateway_from_starting(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", origins)
    with pytest.raises(SettingsFault, match="GATEWAY_CORS_ORIGINS"):
        GatewaySettings.from_environment()


def test_the_list_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert GatewaySettings.from_environment().cors_origins == ()
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", f" {APP} ,{LOCAL},http://[::1]:3000,")
    assert GatewaySettings.from_environment().cors_origins == (APP, LOCAL, "http://[::1]:3000")
