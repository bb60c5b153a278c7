"""Routes that go: from the mark at an endpoint, through the merged document, to every answer of the gateway."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from chassis.deprecation import deprecated
from chassis.openapi import describe
from chassis.testing import TokenMint
from gateway.app import create_gateway
from gateway.merge import merge, to_bytes
from gateway.settings import GatewaySettings
from gateway.table import operations_of
from tests.gateway.servers import Client, RawAnswer, Upstream, document, gateway_before, operation, reply

SINCE, SUNSET = "2026-12-01T00:00:00Z", "2027-06-30T23:59:59+02:00"
UNCALLED = "only the document is read"


def things() -> dict[str, Any]:
    """The document of a service that lets two of its routes go."""
    router = APIRouter(tags=["things"])

    @router.get("/v1/old", operation_id="list_old")
    @deprecated(since=SINCE, sunset=SUNSET, successor="/v1/things", page="https://docs.example/old")
    async def list_old() -> None:
        raise AssertionError(UNCALLED)

    @router.post("/v1/old", operation_id="make_old")
    async def make_old() -> None:
        raise AssertionError(UNCALLED)

    @router.put("/v1/old/{old_id}", operation_id="put_old")
    @deprecated(since=SINCE, successor="/v1/things/{thing_id}")
    async def put_old(old_id: str) -> None:
        raise AssertionError(UNCALLED)

    @router.get("/v1/things", operation_id="list_things")
    @router.get("/v1/warm-up", operation_id="warm_up")
    async def list_things() -> None:
        raise AssertionError(UNCALLED)

    @router.put("/v1/things/{thing_id}", operation_id="put_thing")
    async def put_thing(thing_id: str) -> None:
        raise AssertionError(UNCALLED)

    app = FastAPI()
    app.include_router(router)
    describe(app)
    return app.openapi()


@pytest.fixture
async def going(upstream: Upstream, mint: TokenMint, plane: str) -> AsyncIterator[Client]:
    """A client of a gateway two of whose routes go."""
    described = to_bytes(merge({"jobs": things()}))
    async with gateway_before(upstream.port, mint, described=described, max_body_bytes=1_000) as made:
        yield made


def said(answer: RawAnswer) -> dict[str, list[str]]:
    """What an answer says about the end of its route."""
    names = ("deprecation", "sunset", "link", "link-template")
    found = {name: [value for key, value in answer.headers if key == name] for name in names}
    return {name: values for name, values in found.items() if values}


OLD = {
    "deprecation": [f"@{int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())}"],
    "sunset": ["Wed, 30 Jun 2027 21:59:59 GMT"],
    "link": ['<https://docs.example/old>; rel="deprecation"', '</v1/things>; rel="successor-version"'],
}
OLD_ONE = {"deprecation": OLD["deprecation"], "link-template": ['"/v1/things/{thing_id}"; rel="successor-version"']}


async def test_every_answer_of_a_route_that_goes_says_so(going: Client, upstream: Upstream) -> None:
    assert parsedate_to_datetime(OLD["sunset"][0]) == datetime.fromisoformat(SUNSET)
    async with going.connection() as wire:
        for number in range(4):  # beside others of the same shape on one connection
            for target, expected in (("/v1/old", OLD), (f"/v1/old?page={number}", OLD), ("/v1/things", {})):
                answer = await wire.call("GET", target)
                assert (answer.status, said(answer)) == (200, expected), target
        assert said(await wire.call("HEAD", "/v1/old")) == OLD
        assert said(await wire.call("PUT", "/v1/old/7", body=b"{}")) == OLD_ONE
        assert said(await wire.call("POST", "/v1/old", body=b"{}")) == {}
        assert said(await wire.call("PATCH", "/v1/old")) == {}  # 405: of no route

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 404 if scope["method"] == "GET" else 500, b"{}")

    upstream.answer = failing
    for headers, status in (((), 404), (("Authorization: Bearer x",), 401), (("Host: b",), 400)):
        answer = await going.call("GET", "/v1/old", *headers)
        assert (answer.status, said(answer)) == (status, OLD)
    for body, status in ((b"{}", 500), (b"x" * 1_001, 413)):
        answer = await going.call("PUT", "/v1/old/7", body=body)
        assert (answer.status, said(answer)) == (status, OLD_ONE)


async def test_streams_limits_and_lost_services_say_it_too(upstream: Upstream, mint: TokenMint, plane: str) -> None:
    described = to_bytes(merge({"jobs": things()}))

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        kind = (b"content-type", b"text/event-stream")
        await send({"type": "http.response.start", "status": 200, "headers": [kind, (b"link", b"</x>; rel=next")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await send({"type": "http.response.body"})

    upstream.answer = streaming
    settings: dict[str, Any] = {"described": described, "rate_limit": 3, "retry_seconds": 0.1, "warm": False}
    origin = "https://app.example"
    async with gateway_before(upstream.port, mint, cors_origins=origin, **settings) as client:
        async with client.connection() as wire:
            answers = [await wire.call("GET", "/v1/old", f"Origin: {origin}") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        for answer in answers:
            own = ["</x>; rel=next"] if answer.status == 200 else []
            assert said(answer) == {**OLD, "link": [*own, *OLD["link"]]}
            assert answer.header("access-control-allow-origin") == origin
    async with gateway_before(1, mint, **settings) as client:
        answer = await client.call("GET", "/v1/old")
        answer.problem(503, "upstream_unavailable")
        assert said(answer) == OLD


def test_the_mark_ends_up_in_the_merged_document() -> None:
    merged = merge({"jobs": things()})
    old = merged["paths"]["/v1/old"]["get"]
    assert (old["deprecated"], old["x-deprecated-at"], old["x-sunset-at"], old["x-successor"]) == (
        True, SINCE, "2027-06-30T21:59:59Z", "/v1/things",
    )  # fmt: skip
    assert old["x-deprecation-page"] == "https://docs.example/old"
    assert "deprecated" not in merged["paths"]["/v1/old"]["post"]
    assert "x-sunset-at" not in merged["paths"]["/v1/old/{old_id}"]["put"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "2026-12-01"},
        {"since": "soon"},
        {"since": "2026-12-01T00:00:00"},
        {"since": SINCE, "sunset": "2026-11-30T00:00:00Z"},
        {"since": SINCE, "successor": "things"},
        {"since": SINCE, "successor": "http://a.example/x"},
        {"since": SINCE, "successor": '/x>; rel="y'},
        {"since": SINCE, "successor": "/x\r\nX-Y: 1"},
        {"since": SINCE, "page": "/x/{id}"},
    ],
)
def test_a_mark_that_says_nothing_is_refused_at_import(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        deprecated(**wrong)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"deprecated": True}, "x-deprecated-at"),
        ({"x-sunset-at": SUNSET}, "deprecated: true"),
        ({"deprecated": True, "x-deprecated-at": SUNSET, "x-sunset-at": SINCE}, "cannot end before"),
    ],
)
def test_a_document_that_deprecates_in_part_keeps_the_gateway_from_starting(words: dict[str, Any], match: str) -> None:
    path, method, described = operation("GET", "/v1/old")
    with pytest.raises(ValueError, match=match):
        create_gateway(GatewaySettings(), document=document((path, method, {**described, **words})))


def test_a_successor_is_a_path_of_the_document() -> None:
    service = things()
    service["paths"]["/v1/old"]["get"]["x-successor"] = "/v9/things"
    with pytest.raises(ValueError, match=r"get /v1/old: its successor /v9/things is no path"):
        merge({"jobs": service})
    service["paths"]["/v1/old"]["get"]["x-successor"] = "https://other.example/v9/things"
    merged = json.loads(to_bytes(merge({"jobs": service})))
    assert any(found.notice.pairs for found in operations_of(merged))
