"""Two at once, on a real database: one wins, money and states stay whole."""

import asyncio
from collections import Counter
from collections.abc import Awaitable

import httpx

from tests.jobs.world import BID, World, ok

SANDBOX = {"method": "sandbox"}


async def race(*calls: Awaitable[httpx.Response]) -> Counter[tuple[int, str | None]]:
    """How often each (status, code) came back."""
    return Counter((answer.status_code, answer.json().get("code")) for answer in await asyncio.gather(*calls))


async def test_two_payments_pay_once(world: World) -> None:
    for _ in range(3):
        invoice = await world.approved()
        path = f"/v1/invoices/{invoice['id']}/payments"
        assert await race(*(world.client.post(path, SANDBOX) for _ in range(4))) == {
            (201, None): 1,
            (409, "already_paid"): 3,
        }
        (paid,) = await world.sql("SELECT count(*) FROM transactions WHERE invoice_id = $1::text::uuid", invoice["id"])
        assert paid[0] == 1
        completed = [event for event in await world.events() if event.type == "jobs.transaction.completed.v1"]
        assert [event.data["invoice_id"] for event in completed].count(invoice["id"]) == 1


async def test_two_acceptances_start_one_engagement(world: World) -> None:
    for _ in range(3):
        offer = await world.offer()
        path = f"/v1/offers/{offer['id']}"
        assert await race(*(world.talent.post(f"{path}/accept") for _ in range(4))) == {
            (200, None): 1,
            (409, "invalid_state"): 3,
        }
    assert len((await ok(await world.talent.get("/v1/engagements")))["items"]) == 3


async def test_an_offer_is_accepted_or_taken_back_never_both(world: World) -> None:
    for _ in range(4):
        offer = await world.offer()
        path = f"/v1/offers/{offer['id']}"
        outcome = await race(
            world.client.post(f"{path}/withdraw"),
            world.talent.post(f"{path}/accept"),
            world.talent.post(f"{path}/decline"),
        )
        assert outcome == {(200, None): 1, (409, "invalid_state"): 2}
        status = (await ok(await world.client.get(path)))["status"]
        bid = (await ok(await world.client.get(f"/v1/bids/{offer['bid_id']}")))["status"]
        assert bid == ("accepted" if status == "accepted" else "placed")


async def test_a_bid_is_withdrawn_or_offered_on_never_both(world: World) -> None:
    for _ in range(4):
        bid = await world.bid()
        path = f"/v1/bids/{bid['id']}"
        outcome = await race(world.talent.post(f"{path}/withdraw"), world.client.post(f"{path}/offers", {}))
        assert sorted(status for status, _ in outcome.elements()) in ([200, 409], [201, 409])
        offers = (await ok(await world.client.get(f"{path}/offers")))["items"]
        status = (await ok(await world.client.get(path)))["status"]
        assert (status, len(offers)) in {("withdrawn", 0), ("offered", 1)}


async def test_two_offers_on_one_bid(world: World) -> None:
    bid = await world.bid()
    calls = (world.client.post(f"/v1/bids/{bid['id']}/offers", {}) for _ in range(4))
    assert await race(*calls) == {(201, None): 1, (409, "invalid_state"): 3}


async def test_one_talent_bids_once_however_fast(world: World) -> None:
    job = await world.job()
    calls = (world.talent.post(f"/v1/jobs/{job['id']}/bids", BID) for _ in range(5))
    assert await race(*calls) == {(201, None): 1, (409, "duplicate_bid"): 4}
    placed = [event for event in await world.events() if event.type == "jobs.bid.placed.v1"]
    assert len(placed) == 1


async def test_no_bid_gets_in_behind_the_closing(world: World) -> None:
    job = await world.job()
    path = f"/v1/jobs/{job['id']}"
    bidders = [world.member("talent") for _ in range(6)]
    calls = [bidder.post(f"{path}/bids", BID) for bidder in bidders]
    outcome = await race(*calls[:3], world.client.post(f"{path}/close"), *calls[3:])
    assert outcome[200, None] == 1
    assert outcome[201, None] + outcome[409, "invalid_state"] == 6
    (row,) = await world.sql(
        "SELECT count(*) FILTER (WHERE bids.created_at > closed_at) FROM bids JOIN jobs ON jobs.id = job_id"
    )
    assert row[0] == 0


async def test_an_invoice_is_approved_or_rejected_never_both(world: World) -> None:
    path = f"/v1/invoices/{(await world.invoice())['id']}"
    calls = [world.client.post(f"{path}/approve"), world.client.post(f"{path}/reject", {"reason": "No"})]
    assert await race(*calls) == {(200, None): 1, (409, "invalid_state"): 1}


async def test_racing_refunds_never_give_back_more_than_there_was(world: World) -> None:
    transaction = await world.transaction(1_000)
    path = f"/v1/transactions/{transaction['id']}/refunds"
    calls = [world.talent.post(path, {"amount_cents": 300, "reason": "x"}) for _ in range(3)]
    calls += [world.admin.post(path, {"amount_cents": 300, "reason": "x"}) for _ in range(3)]
    assert await race(*calls) == {(201, None): 3, (422, "refund_exceeds_transaction"): 3}
    after = await ok(await world.client.get(f"/v1/transactions/{transaction['id']}"))
    assert (after["total_refunded_cents"], after["total_client_fee_refunded_cents"]) == (900, 72)
    sequences = [event.sequence for event in await world.events(transaction["id"])]
    assert sequences == ["1", "2", "3", "4"]


async def test_two_edits_from_the_same_reading(world: World) -> None:
    job = await world.draft()
    path = f"/v1/jobs/{job['id']}"
    etag = (await world.client.get(path)).headers["etag"]
    calls = (world.client.patch(path, {"title": f"Title {n}"}, **{"If-Match": etag}) for n in range(4))
    assert await race(*calls) == {(200, None): 1, (412, "precondition_failed"): 3}
