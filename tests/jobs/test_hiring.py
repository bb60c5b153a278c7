"""Bids, offers and engagements over HTTP: states, roles, who sees what, events."""

from typing import Any

import pytest

from events.jobs import BidPlaced, BidWithdrawn, EngagementEnded, EngagementStarted
from tests.jobs.world import BID, World, ok, refused


async def test_a_bid_is_placed(world: World) -> None:
    job = await world.job()
    response = await world.talent.post(f"/v1/jobs/{job['id']}/bids", BID)
    bid = await ok(response, 201)
    assert response.headers["location"] == f"/v1/bids/{bid['id']}"
    assert {name: bid[name] for name in BID} == BID
    assert (bid["status"], bid["job_id"]) == ("placed", job["id"])
    assert (bid["client_id"], bid["talent_id"]) == (str(world.client.id), str(world.talent.id))
    for party in (world.talent, world.client):
        assert await ok(await party.get(f"/v1/bids/{bid['id']}")) == bid
    (event,) = await world.events(bid["id"])
    assert event.type == BidPlaced.type_
    assert event.data == {
        "bid_id": bid["id"],
        "job_id": job["id"],
        "client_id": str(world.client.id),
        "talent_id": str(world.talent.id),
        "rate_cents": 10_000,
        "placed_at": bid["created_at"],
    }


async def test_who_may_bid(world: World) -> None:
    job = await world.job()
    path = f"/v1/jobs/{job['id']}/bids"
    refused(await world.http.post(path, json=BID), 401)
    refused(await world.client.post(path, BID), 403, "own_job")
    refused(await world.member("client", "connector").post(path, BID), 403, "missing_role")
    await world.bid(job)
    refused(await world.talent.post(path, BID), 409, "duplicate_bid")
    await ok(await world.stranger.post(path, BID), 201)
    await ok(await world.client.post(f"/v1/jobs/{job['id']}/close"))
    refused(await world.member("talent").post(path, BID), 409, "invalid_state")


async def test_wrong_bids_are_refused(world: World) -> None:
    path = f"/v1/jobs/{(await world.job())['id']}/bids"
    wrong: list[dict[str, Any]] = [
        {"rate_cents": 0},
        {"rate_cents": 10**13 + 1},
        {"rate_cents": "10000"},
        {"rate_cents": 1.0},
        {"rate_cents": None},
        {"cover_letter": ""},
        {"cover_letter": " \n "},
        {"cover_letter": "x" * 20_001},
        {"talent_id": "me"},
    ]
    for change in wrong:
        refused(await world.talent.post(path, BID | change), 422)
    for missing in BID:
        refused(await world.talent.post(path, {k: v for k, v in BID.items() if k != missing}), 422)
    assert (await ok(await world.client.get(path)))["items"] == []


async def test_a_client_sees_all_bids_a_talent_their_own(world: World) -> None:
    job = await world.job()
    bid, other = await world.bid(job), await world.bid(job, world.stranger)
    path = f"/v1/jobs/{job['id']}/bids"
    assert (await ok(await world.client.get(path)))["items"] == [other, bid]
    assert (await ok(await world.talent.get(path)))["items"] == [bid]
    assert (await ok(await world.admin.get(path)))["items"] == []
    assert (await ok(await world.stranger.get("/v1/bids")))["items"] == [other]
    refused(await world.http.get(path), 401)
    for member in (world.stranger, world.admin):
        refused(await member.get(f"/v1/bids/{bid['id']}"), 404)
        refused(await member.post(f"/v1/bids/{bid['id']}/withdraw"), 404)
        refused(await member.post(f"/v1/bids/{bid['id']}/offers", {}), 404)
        refused(await member.get(f"/v1/bids/{bid['id']}/offers"), 404)


async def test_bids_come_in_pages(world: World) -> None:
    job = await world.job()
    bids = [await world.bid(job, world.member("talent")) for _ in range(5)]
    found, cursor = [], None
    for expected in (2, 2, 1):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await ok(await world.client.get(f"/v1/jobs/{job['id']}/bids", **params))
        assert len(page["items"]) == expected
        found += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == bids[::-1]


async def test_a_withdrawn_bid_makes_room_for_another(world: World) -> None:
    job = await world.job()
    bid = await world.bid(job)
    refused(await world.client.post(f"/v1/bids/{bid['id']}/withdraw"), 403)
    gone = await ok(await world.talent.post(f"/v1/bids/{bid['id']}/withdraw"))
    assert gone == bid | {"status": "withdrawn", "withdrawn_at": gone["withdrawn_at"]}
    refused(await world.talent.post(f"/v1/bids/{bid['id']}/withdraw"), 409, "invalid_state")
    refused(await world.client.post(f"/v1/bids/{bid['id']}/offers", {}), 409, "invalid_state")
    assert (await world.bid(job))["id"] != bid["id"]
    _, event = await world.events(bid["id"])
    assert (event.type, event.sequence) == (BidWithdrawn.type_, "2")
    assert event.data == {
        "bid_id": bid["id"],
        "job_id": job["id"],
        "client_id": str(world.client.id),
        "talent_id": str(world.talent.id),
        "withdrawn_at": gone["withdrawn_at"],
    }


async def test_an_offer_is_at_the_bids_rate_unless_it_says_otherwise(world: World) -> None:
    bid = await world.bid()
    response = await world.client.post(f"/v1/bids/{bid['id']}/offers")
    offer = await ok(response, 201)
    assert response.headers["location"] == f"/v1/offers/{offer['id']}"
    assert (offer["bid_id"], offer["rate_cents"], offer["status"]) == (bid["id"], 10_000, "open")
    assert (offer["message"], offer["engagement_id"]) == (None, None)
    assert (await ok(await world.talent.get(f"/v1/bids/{bid['id']}")))["status"] == "offered"
    other = await world.offer(await world.bid(), rate_cents=9_000, message="On Monday?")
    assert (other["rate_cents"], other["message"]) == (9_000, "On Monday?")
    for party in (world.client, world.talent):
        assert await ok(await party.get(f"/v1/offers/{offer['id']}")) == offer
        assert (await ok(await party.get("/v1/offers")))["items"] == [other, offer]
        assert (await ok(await party.get(f"/v1/bids/{bid['id']}/offers")))["items"] == [offer]


async def test_who_may_offer_and_when(world: World) -> None:
    job = await world.job()
    bid = await world.bid(job)
    path = f"/v1/bids/{bid['id']}/offers"
    refused(await world.http.post(path, json={}), 401)
    refused(await world.talent.post(path, {}), 403)
    for wrong in ({"rate_cents": 0}, {"rate_cents": "1"}, {"message": ""}, {"note": "x"}, [], "x"):
        refused(await world.client.post(path, wrong), 422)
    await world.offer(bid)
    refused(await world.client.post(path, {}), 409, "invalid_state")
    late = await world.bid(job, world.stranger)
    await ok(await world.client.post(f"/v1/jobs/{job['id']}/close"))
    refused(await world.client.post(f"/v1/bids/{late['id']}/offers", {}), 409, "invalid_state")


async def test_an_accepted_offer_starts_an_engagement(world: World) -> None:
    offer = await world.offer(rate_cents=9_000)
    accepted = await ok(await world.talent.post(f"/v1/offers/{offer['id']}/accept"))
    assert accepted["status"] == "accepted"
    assert (await ok(await world.client.get(f"/v1/bids/{offer['bid_id']}")))["status"] == "accepted"
    for party in (world.client, world.talent):
        engagement = await ok(await party.get(f"/v1/engagements/{accepted['engagement_id']}"))
        assert (await ok(await party.get("/v1/engagements")))["items"] == [engagement]
    assert (engagement["status"], engagement["rate_cents"], engagement["offer_id"]) == ("active", 9_000, offer["id"])
    (event,) = await world.events(engagement["id"])
    assert event.type == EngagementStarted.type_
    assert event.data == {
        "engagement_id": engagement["id"],
        "job_id": offer["job_id"],
        "client_id": str(world.client.id),
        "talent_id": str(world.talent.id),
        "rate_cents": 9_000,
        "started_at": engagement["started_at"],
    }


async def test_an_offer_is_decided_once_by_the_right_side(world: World) -> None:
    for action, side, other in (
        ("accept", world.talent, world.client),
        ("decline", world.talent, world.client),
        ("withdraw", world.client, world.talent),
    ):
        path = f"/v1/offers/{(await world.offer())['id']}"
        refused(await world.http.post(f"{path}/{action}"), 401)
        refused(await other.post(f"{path}/{action}"), 403)
        for member in (world.stranger, world.admin):
            refused(await member.get(path), 404)
            refused(await member.post(f"{path}/{action}"), 404)
        await ok(await side.post(f"{path}/{action}"))
        for again in ("accept", "decline"):
            refused(await world.talent.post(f"{path}/{again}"), 409, "invalid_state")
        refused(await world.client.post(f"{path}/withdraw"), 409, "invalid_state")


async def test_a_declined_offer_leaves_the_bid_open_to_another(world: World) -> None:
    bid = await world.bid()
    for end, side in (("decline", world.talent), ("withdraw", world.client)):
        offer = await world.offer(bid)
        refused(await world.talent.post(f"/v1/bids/{bid['id']}/withdraw"), 409, "invalid_state")
        ended = await ok(await side.post(f"/v1/offers/{offer['id']}/{end}"))
        assert ended["decided_at"] is not None
        assert (await ok(await world.talent.get(f"/v1/bids/{bid['id']}")))["status"] == "placed"
    await ok(await world.talent.post(f"/v1/bids/{bid['id']}/withdraw"))


@pytest.mark.parametrize(("end", "told"), [("accept", "accepted"), ("decline", "declined"), ("withdraw", "withdrawn")])
async def test_an_offer_is_told_when_it_is_made_and_when_it_ends(world: World, end: str, told: str) -> None:
    offer = await world.offer(rate_cents=9_000, message="between the two of us")
    side = world.client if end == "withdraw" else world.talent
    ended = await ok(await side.post(f"/v1/offers/{offer['id']}/{end}"))
    named = {"offer_id": offer["id"], "bid_id": offer["bid_id"], "job_id": offer["job_id"]}
    named |= {"client_id": str(world.client.id), "talent_id": str(world.talent.id)}
    made, last = await world.events(offer["id"])
    assert (made.type, made.sequence) == ("jobs.offer.made.v1", "1")
    assert made.data == named | {"rate_cents": 9_000, "made_at": offer["created_at"]}
    assert (last.type, last.sequence) == (f"jobs.offer.{told}.v1", "2")
    more = {"engagement_id": ended["engagement_id"]} if end == "accept" else {}
    assert last.data == named | more | {f"{told}_at": ended["decided_at"]}


async def test_an_offer_outlives_the_closing_of_its_job(world: World) -> None:
    offer = await world.offer()
    await ok(await world.client.post(f"/v1/jobs/{offer['job_id']}/close"))
    await ok(await world.talent.post(f"/v1/offers/{offer['id']}/accept"))


async def test_either_side_ends_an_engagement_once(world: World) -> None:
    for side, other in ((world.client, world.talent), (world.talent, world.client)):
        engagement = await world.engagement()
        path = f"/v1/engagements/{engagement['id']}"
        refused(await world.http.post(f"{path}/end"), 401)
        for member in (world.stranger, world.admin):
            refused(await member.get(path), 404)
            refused(await member.post(f"{path}/end"), 404)
        ended = await ok(await side.post(f"{path}/end"))
        assert ended["status"] == "ended"
        refused(await other.post(f"{path}/end"), 409, "invalid_state")
        _, event = await world.events(engagement["id"])
        assert (event.type, event.sequence) == (EngagementEnded.type_, "2")
        assert event.data == {name: ended[name] for name in ("job_id", "client_id", "talent_id", "ended_at")} | {
            "engagement_id": ended["id"]
        }
    assert len((await ok(await world.client.get("/v1/engagements", status="ended")))["items"]) == 2
    assert (await ok(await world.client.get("/v1/engagements", status="active")))["items"] == []
    refused(await world.client.get("/v1/engagements", status="gone"), 422)
