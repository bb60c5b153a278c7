"""The gateway's surface as a stranger, another member and a former member find it."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from chassis.http import HttpClient, HttpResponse
from scripts.api import PASSWORD, Api, Person, eventually
from scripts.story import Story
from tests.e2e.network import Network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

GOLDEN = Path(__file__).resolve().parents[2] / "gateway" / "openapi.json"
UNKNOWN = "01932c4e-6b7a-7c3d-8e9f-0a1b2c3d4e5f"
MALFORMED = ("1", "not-an-id", UNKNOWN + "0", "01932c4e-6b7a-7c3d-8e9f-0a1b2c3d4e5g", "%00", "..%2F", "٣")
ADMINISTRATION = ("set_member_roles", "suspend_member", "reinstate_member")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

Operation = tuple[str, str, dict[str, Any]]


def operations() -> Iterator[Operation]:
    """Method, path and description of everything the gateway serves."""
    for path, item in json.loads(GOLDEN.read_text())["paths"].items():
        for method in METHODS:
            if method.lower() in item:
                yield method, path, item[method.lower()]


def needs_token(operation: dict[str, Any]) -> bool:
    """Whether nobody may call it without a token."""
    return bool(operation["security"]) and {} not in operation["security"]


def takes_ids(path: str) -> bool:
    return "_id}" in path


def filled(path: str, value: str = UNKNOWN) -> str:
    return re.sub(r"\{[a-z_]+_id\}", value, path).replace("{address}", "0x" + "00" * 20)


def example(operation: dict[str, Any]) -> Any:
    """A body that fits: the document's own example."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schemas = json.loads(GOLDEN.read_text())["components"]["schemas"]
    schema = schemas[content["schema"]["$ref"].rpartition("/")[2]] if "$ref" in content["schema"] else content["schema"]
    return (content.get("example") or schema.get("examples", [{}])[0]) or {}


def problem(answer: HttpResponse, status: int, what: str) -> dict[str, Any]:
    """The problem document of an answer that must have this status."""
    assert answer.status == status, f"{what}: {answer.status} {answer.body[:300]!r}"
    assert answer.headers["content-type"] == "application/problem+json", what
    found: dict[str, Any] = answer.json()
    assert found["status"] == status, what
    assert {"type", "title", "detail", "instance", "code", "request_id"} <= found.keys(), what
    return found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def story(network: Network) -> AsyncIterator[Story]:
    """The story up to the minted rewards and a refund."""
    told = network.endpoints
    async with HttpClient(timeout_seconds=20.0) as http:
        played = Story(Api(told["gateway"], http), told["rpc"], told["contracts"]["btrst"], print)
        await played.people()
        await played.hire()
        played.transaction = await played.invoice_and_pay()
        await played.minted()
        await played.refund()
        yield played


async def test_the_document_is_the_committed_one(network: Network, story: Story) -> None:
    assert await story.api.call("GET", "/openapi.json") == json.loads(GOLDEN.read_text())


async def test_without_a_token_401(story: Story) -> None:
    closed = [(method, path, operation) for method, path, operation in operations() if needs_token(operation)]
    assert len(closed) > 40
    for method, path, operation in closed:
        for token in (None, "nonsense", (await story.ada.token())[:-4] + "AAAA"):
            answer = await story.api.patiently(method, filled(path), example(operation), token=token)
            problem(answer, 401, f"{method} {path}")
            assert answer.headers["www-authenticate"].startswith("Bearer"), f"{method} {path}"


async def test_a_malformed_id_is_404(network: Network, story: Story) -> None:
    session = await story.api.call("POST", "/v1/sessions", network.endpoints["admin"])
    token, admin = await story.client.token(), session["access_token"]
    with_ids = [(method, path, operation) for method, path, operation in operations() if takes_ids(path)]
    assert len(with_ids) > 30
    for method, path, operation in with_ids:
        caller = admin if operation["operationId"] in ADMINISTRATION else token
        for value in MALFORMED:
            answer = await story.api.patiently(method, filled(path, value), example(operation), token=caller)
            problem(answer, 404, f"{method} {filled(path, value)}")


async def test_a_wrong_method_is_405(story: Story) -> None:
    known: dict[str, set[str]] = {}
    for method, path, _ in operations():
        known.setdefault(path, set()).add(method)
    for path, methods in known.items():
        for method in set(METHODS) - methods:
            answer = await story.api.patiently(method, filled(path), token=await story.client.token())
            problem(answer, 405, f"{method} {path}")
            allowed = {name.strip() for name in answer.headers["allow"].split(",")} - {"HEAD", "OPTIONS"}
            assert allowed >= methods, f"{method} {path}: {allowed}"


async def test_the_docs_need_nobody_else(story: Story) -> None:
    page = await story.api.patiently("GET", "/docs")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", text)
    linked = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]+)""", text)
    assert linked
    for path in linked:
        part = await story.api.patiently("GET", path)
        assert part.status == 200, path
        if path.endswith(".css"):
            assert not re.findall(rb"(?:url\(|@import)\s*[\"']?(?:https?:)?//", part.body), path


def of_the_parties(story: Story, invoice_id: str, bid_id: str, offer_id: str, draft_id: str) -> list[tuple[str, str]]:
    """What client and Talent share, and nobody else may see or touch."""
    transaction, engagement = story.transaction["id"], story.engagement["id"]
    return [
        ("GET", f"/v1/invoices/{invoice_id}"),
        ("POST", f"/v1/invoices/{invoice_id}/approve"),
        ("POST", f"/v1/invoices/{invoice_id}/reject"),
        ("POST", f"/v1/invoices/{invoice_id}/payments"),
        ("GET", f"/v1/engagements/{engagement}"),
        ("GET", f"/v1/engagements/{engagement}/invoices"),
        ("POST", f"/v1/engagements/{engagement}/invoices"),
        ("POST", f"/v1/engagements/{engagement}/end"),
        ("GET", f"/v1/transactions/{transaction}"),
        ("GET", f"/v1/transactions/{transaction}/refunds"),
        ("POST", f"/v1/transactions/{transaction}/refunds"),
        ("GET", f"/v1/bids/{bid_id}"),
        ("GET", f"/v1/bids/{bid_id}/offers"),
        ("POST", f"/v1/bids/{bid_id}/offers"),
        ("POST", f"/v1/bids/{bid_id}/withdraw"),
        ("GET", f"/v1/offers/{offer_id}"),
        ("POST", f"/v1/offers/{offer_id}/accept"),
        ("POST", f"/v1/offers/{offer_id}/decline"),
        ("POST", f"/v1/offers/{offer_id}/withdraw"),
        ("GET", f"/v1/jobs/{draft_id}"),
        ("PATCH", f"/v1/jobs/{draft_id}"),
        ("POST", f"/v1/jobs/{draft_id}/publish"),
        ("POST", f"/v1/jobs/{draft_id}/close"),
        ("GET", f"/v1/jobs/{draft_id}/bids"),
    ]


def bodies() -> dict[str, Any]:
    """A body that fits for each kind of call."""
    return {
        "reject": {"reason": "No."},
        "payments": {"method": "sandbox"},
        "invoices": {"lines": [{"description": "Mine now", "amount_cents": 100_000}]},
        "refunds": {"amount_cents": 100, "reason": "Please."},
        "offers": {"message": "Hello."},
    }


async def test_what_is_another_members_is_404(story: Story) -> None:
    draft = await story.client.post("/v1/jobs", draft_job())
    invoice = (await story.client.get(f"/v1/engagements/{story.engagement['id']}/invoices"))["items"][0]
    bid = (await story.talent.get("/v1/bids"))["items"][0]
    offer = (await story.talent.get("/v1/offers"))["items"][0]
    stranger = await Person(story.api, "Eve", ["client", "talent", "connector"]).register()
    token = await stranger.token()
    calls = of_the_parties(story, invoice["id"], bid["id"], offer["id"], draft["id"])
    for person, reward in zip((story.ada, story.ben), story.rewards, strict=True):
        assert (await person.get(f"/v1/rewards/{reward['id']}"))["id"] == reward["id"]
        calls += [("GET", f"/v1/rewards/{reward['id']}"), ("GET", f"/v1/rewards/{reward['id']}/trace")]
    for method, path in calls:
        body = {"title": "Mine now"} if method == "PATCH" else bodies().get(path.rpartition("/")[2])
        sent = body if method != "GET" else None
        problem(await story.api.patiently(method, path, sent, token=token), 404, f"{method} {path}")
    for path in ("rewards", "rewards/ledger", "referrals", "transactions", "engagements", "bids", "offers"):
        assert (await stranger.get(f"/v1/{path}"))["items"] == [], path
    assert (await stranger.get("/v1/members/me/wallets"))["items"] == []
    summary = await stranger.get("/v1/rewards/summary")
    assert {int(value) for name, value in summary.items() if name.endswith("_wei")} == {0}


async def test_connectors_do_not_see_each_others_rewards(story: Story) -> None:
    token = await story.ben.token()
    problem(await story.api.patiently("GET", f"/v1/rewards/{story.rewards[0]['id']}", token=token), 404, "Ada's")
    mine = {line["reward_id"] for line in (await story.ben.get("/v1/rewards/ledger"))["items"]}
    assert mine == {story.rewards[1]["id"]}


async def test_an_ended_session_stops_within_5_seconds(story: Story) -> None:
    member = await Person(story.api, "Fay", ["client"]).register()
    session = await story.api.call("POST", "/v1/sessions", {"email": member.email, "password": PASSWORD})
    token = session["access_token"]
    paths = ("/v1/members/me", "/v1/engagements", "/v1/rewards/summary")
    for path in paths:
        assert (await story.api.patiently("GET", path, token=token)).status == 200
    ended = await story.api.patiently("DELETE", "/v1/sessions/current", token=token)
    assert ended.status == 204
    ended_at = time.monotonic()

    async def stopped() -> bool:
        answers = [await story.api.patiently("GET", path, token=token) for path in paths]
        return {answer.status for answer in answers} == {401}

    await eventually("the ended session is refused everywhere", stopped, seconds=5.0, every=0.1)
    assert time.monotonic() - ended_at < 6
    refresh = {"refresh_token": session["refresh_token"]}
    problem(await story.api.patiently("POST", "/v1/sessions/refresh", refresh), 401, "refresh after the end")
    assert (await member.get("/v1/members/me"))["id"] == member.id, "the member's other session goes on"


async def test_a_payment_tried_again_gives_the_same_bytes(story: Story) -> None:
    lines = {"lines": [{"description": "More", "amount_cents": 12_345}]}
    invoice = await story.talent.post(f"/v1/engagements/{story.engagement['id']}/invoices", lines)
    await story.client.post(f"/v1/invoices/{invoice['id']}/approve")
    path, token, key = f"/v1/invoices/{invoice['id']}/payments", await story.client.token(), str(uuid4())
    answers = [await story.api.patiently("POST", path, {"method": "sandbox"}, token=token, key=key) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    other = await story.api.patiently("POST", path, {"method": "card"}, token=token, key=key)
    assert problem(other, 422, "another request")["code"] == "idempotency_key_reused"
    again = await story.api.patiently("POST", path, {"method": "sandbox"}, token=token)
    assert problem(again, 409, "another key")["code"] == "already_paid"
    found = (await story.client.get("/v1/transactions?limit=100"))["items"]
    assert [one["invoice_id"] for one in found].count(invoice["id"]) == 1


def draft_job() -> dict[str, Any]:
    return {
        "title": "Not published",
        "description": "A draft.",
        "skills": [],
        "kind": "fixed",
        "rate_min_cents": 100,
        "rate_max_cents": 200,
    }
