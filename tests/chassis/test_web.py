"""The edge of a service: commit before the answer, idempotency, strict JSON, problem documents, tokens, pages."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.auth import internal_token
from chassis.db import async_dsn
from chassis.ids import new_id
from chassis.testing import TokenMint
from tests.chassis.sample import metadata, sample_app

ME = new_id()


@pytest.fixture
async def dsn(empty_dsn: str) -> str:
    engine = create_async_engine(async_dsn(empty_dsn))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return empty_dsn


@pytest.fixture
async def client(dsn: str, mint: TokenMint, client_for) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(sample_app(dsn, mint)) as running:
        running.headers.update(mint.headers(ME))
        yield running


async def count(dsn: str, table: str = "notes") -> int:
    engine = create_async_engine(async_dsn(dsn))
    async with engine.connect() as connection:
        found = (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one()
    await engine.dispose()
    return int(found)


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    if code is not None:
        assert body["code"] == code
    return body


async def test_a_created_note_is_there_with_location_and_event(client: httpx.AsyncClient, dsn: str) -> None:
    answer = await client.post("/v1/notes", json={"text": "hello", "amount_wei": "250000000000000000000000001"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/notes/{answer.json()['id']}"
    assert answer.json()["amount_wei"] == "250000000000000000000000001"
    assert answer.json()["created_at"].endswith("Z")
    assert await count(dsn) == 1


async def test_a_commit_that_fails_is_not_a_success(client: httpx.AsyncClient, dsn: str) -> None:
    answer = await client.post("/v1/notes", json={"text": "late", "fail_at_commit": True})
    assert answer.status_code == 500
    assert await count(dsn) == 0
    assert await count(dsn, "outbox") == 0


async def test_a_fault_tells_nothing(client: httpx.AsyncClient) -> None:
    body = is_problem(await client.get("/v1/faults"), 500, "internal_error")
    assert "secret" not in json.dumps(body)


async def test_same_key_and_request_same_bytes(client: httpx.AsyncClient, dsn: str) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/v1/notes", json={"text": "once"}, headers=headers)
    second = await client.post("/v1/notes", json={"text": "once"}, headers=headers)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert second.headers["location"] == first.headers["location"]
    assert await count(dsn) == 1


async def test_same_key_other_request_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    await client.post("/v1/notes", json={"text": "once"}, headers=headers)
    is_problem(await client.post("/v1/notes", json={"text": "other"}, headers=headers), 422, "idempotency_key_reused")
    is_problem(
        await client.post("/v1/notes?x=1", json={"text": "once"}, headers=headers), 422, "idempotency_key_reused"
    )


async def test_the_key_belongs_to_the_member(client: httpx.AsyncClient, mint: TokenMint, dsn: str) -> None:
    for member in (ME, new_id()):
        answer = await client.post(
            "/v1/notes", json={"text": "once"}, headers={"Idempotency-Key": "k1", **mint.headers(member)}
        )
        assert answer.status_code == 201
    assert await count(dsn) == 2


async def test_errors_are_not_kept(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    is_problem(await client.post("/v1/notes", json={"text": 5}, headers=headers), 422)
    assert (await client.post("/v1/notes", json={"text": "good"}, headers=headers)).status_code == 201


async def test_ten_at_once_have_one_effect(client: httpx.AsyncClient, dsn: str) -> None:
    headers = {"Idempotency-Key": "race"}
    calls = [client.post("/v1/payments", json={"text": "pay"}, headers=headers) for _ in range(10)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            is_problem(answer, 409, "idempotency_key_in_flight")
    assert await count(dsn) == 1


async def test_required_key(client: httpx.AsyncClient) -> None:
    is_problem(await client.post("/v1/payments", json={"text": "pay"}), 400, "idempotency_key_missing")
    long = {"Idempotency-Key": "x" * 256}
    is_problem(await client.post("/v1/payments", json={"text": "pay"}, headers=long), 400, "idempotency_key_malformed")


async def test_ignored_key(client: httpx.AsyncClient, dsn: str) -> None:
    for _ in range(2):
        await client.post("/v1/sessions", json={"text": "in"}, headers={"Idempotency-Key": "k"})
    assert await count(dsn) == 2


MALFORMED = [
    b"{",
    b'{"text": NaN}',
    b'{"text": 1e400}',
    b'{"text": Infinity}',
    b'{"text": "a", "text": "b"}',
    b'{"text": "\\ud800"}',
    b'{"text": "\\u0000"}',
    b'{"text": ' + b"[" * 1500 + b"]" * 1500 + b"}",
    b"[" * 100_000,
    b'{"text": "\xff"}',
    b'{"amount_cents": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=[str(number) for number in range(len(MALFORMED))])
async def test_what_is_not_json_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/notes", content=body, headers={"content-type": "application/json"})
    is_problem(answer, 400, "malformed_json")


INVALID = [
    {"text": "x", "extra": 1},
    {"text": 1},
    {"text": "x", "amount_cents": "5"},
    {"text": "x", "amount_cents": 1.5},
    {"text": "x", "amount_cents": True},
    {"text": "x", "amount_cents": 0},
    {"text": "x", "amount_cents": 10**30},
    {"text": "x", "amount_wei": 5},
    {"text": "x", "amount_wei": "1_000"},
    {"text": "x", "amount_wei": "٣"},
    {"text": "x", "amount_wei": "-1"},
    {"text": "x", "amount_wei": "1E+10"},
    {"text": "x", "amount_wei": "0"},
    {"text": "x", "amount_wei": str(2**256)},
    [],
    None,
]


@pytest.mark.parametrize("body", INVALID, ids=[str(number) for number in range(len(INVALID))])
async def test_wrong_fields_are_named_and_not_repeated(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post(
        "/v1/notes", content=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    problem = is_problem(answer, 422)
    assert problem["errors"]
    assert all(set(error) == {"loc", "msg", "type"} for error in problem["errors"])


@pytest.mark.parametrize("body", [b'{"status": "paid", "is_admin": true}', b"[1]", b'"paid"', b"false"])
async def test_fields_of_an_operation_without_a_body_are_refused(client: httpx.AsyncClient, body: bytes) -> None:
    made = (await client.post("/v1/notes", json={"text": "mine"})).json()
    path, media_type = f"/v1/notes/{made['id']}/blank", {"content-type": "application/json"}
    refused = is_problem(await client.post(path, content=body, headers=media_type), 422, "invalid_fields")
    named = [error["loc"] for error in refused["errors"]]
    assert named == ([["body", "status"], ["body", "is_admin"]] if body[:1] == b"{" else [["body"]])
    assert "paid" not in json.dumps(refused), "what was sent is not repeated"
    assert (await client.get(f"/v1/notes/{made['id']}")).json()["text"] == "mine"


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" "])
async def test_an_operation_without_a_body_takes_an_empty_one(client: httpx.AsyncClient, body: bytes) -> None:
    made = (await client.post("/v1/notes", json={"text": "mine"})).json()
    path, media_type = f"/v1/notes/{made['id']}/blank", {"content-type": "application/json"}
    answer = await client.post(path, content=body, headers=media_type)
    assert (answer.status_code, answer.json()["text"]) == (200, "")


async def test_a_body_without_need_is_refused_after_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/v1/notes/{new_id()}/blank", json={"id": 1}, headers={"authorization": "Bearer x"})
    is_problem(answer, 401)
    is_problem(
        await client.post(f"/v1/notes/{new_id()}/blank", content=b"{", headers={"content-type": "application/json"}),
        400,
    )


async def test_media_type_and_size(client: httpx.AsyncClient) -> None:
    is_problem(await client.post("/v1/notes", content=b"text=x", headers={"content-type": "text/plain"}), 415)
    big = json.dumps({"text": "x" * 300_000}).encode()
    is_problem(await client.post("/v1/notes", content=big, headers={"content-type": "application/json"}), 413)


async def test_unknown_and_malformed_ids_look_the_same(client: httpx.AsyncClient) -> None:
    for note_id in (str(uuid4()), "nonsense", "%00", "%ED%A0%80", "0" * 5000):
        is_problem(await client.get(f"/v1/notes/{note_id}"), 404)
    is_problem(await client.delete("/v1/notes"), 405)
    is_problem(await client.get("/v1/notes?q=%00"), 400)


async def test_etag(client: httpx.AsyncClient) -> None:
    note = (await client.post("/v1/notes", json={"text": "a"})).json()
    answer = await client.get(f"/v1/notes/{note['id']}")
    etag = answer.headers["etag"]
    assert (await client.get(f"/v1/notes/{note['id']}", headers={"If-Match": etag})).status_code == 200
    is_problem(await client.get(f"/v1/notes/{note['id']}", headers={"If-Match": '"other"'}), 412)


async def test_pages(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post("/v1/notes", json={"text": str(number)})
    seen, cursor = [], None
    while True:
        page = (await client.get("/v1/notes", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["text"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["0", "1", "2", "3", "4"]
    odd = ("limit=0", "limit=101", "limit=x", "limit=1_0", "limit=%2B5", "limit=%205", "limit=%D9%A3", "limit=")
    for query in (*odd, "cursor=%21", "cursor=W10", "cursor=WzFd", "cursor=" + "a" * 501):
        is_problem(await client.get(f"/v1/notes?{query}"), 400, "bad_page")


async def test_tokens(client: httpx.AsyncClient, mint: TokenMint) -> None:
    del client.headers["authorization"]
    is_problem(await client.post("/v1/notes", json={"text": "x"}), 401)
    foreign = TokenMint()
    wrong = [
        "",
        "x.y.z",
        foreign.token(ME),
        mint.token(ME, exp=1),
        mint.token(ME, iss="other"),
        mint.token(ME, aud="other"),
        mint.token(ME, sub="x"),
        mint.token(ME, sid=None),
        mint.token(ME, roles="admin"),
        mint.token(ME)[:-4] + "AAAA",
        "a" * 10_000,
        "é.é.é",
    ]
    for token in wrong:
        headers = {"Authorization": f"Bearer {token}".encode()}
        is_problem(await client.post("/v1/notes", json={"text": "x"}, headers=headers), 401)
    is_problem(await client.get("/v1/admin", headers=mint.headers(ME, "client")), 403)
    assert (await client.get("/v1/admin", headers=mint.headers(ME, "admin"))).json() == {"id": str(ME)}


async def test_an_ended_session_stops_although_the_token_is_cached(client: httpx.AsyncClient, mint: TokenMint) -> None:
    session_id, member = new_id(), new_id()
    headers = {"Authorization": f"Bearer {mint.token(member, session_id=session_id)}"}
    assert (await client.post("/v1/notes", json={"text": "x"}, headers=headers)).status_code == 201
    mint.revoke("session", session_id)
    await asyncio.sleep(2.5)
    is_problem(await client.post("/v1/notes", json={"text": "x"}, headers=headers), 401, "session_ended")


async def test_internal_api_wants_its_own_token(client: httpx.AsyncClient) -> None:
    is_problem(await client.get("/internal/secret"), 401)
    for secret, service, status in (("s" * 40, "sample", 200), ("s" * 40, "jobs", 401), ("t" * 40, "sample", 401)):
        headers = {"Authorization": f"Bearer {internal_token(secret, service)}"}
        assert (await client.get("/internal/secret", headers=headers)).status_code == status


async def test_ids_go_in_and_out(client: httpx.AsyncClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await client.get("/healthz", headers={"X-Request-Id": "abc-1", "traceparent": parent})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["traceparent"].startswith(parent[:36])
    for bad in ("a b", "x" * 200, "a\tb"):
        answer = await client.get("/healthz", headers={"X-Request-Id": bad, "traceparent": bad})
        assert answer.headers["x-request-id"] != bad


async def test_operations(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json()["checks"]["database"] == "ok"
    metrics = (await client.get("/metrics")).text
    assert 'btrst_http_requests_total{method="GET",route="/healthz",service="sample",status="200"}' in metrics
    assert UUID(str(ME))
