"""The same key and request give the same bytes; another request under the key is refused."""

import asyncio

from tests.jobs.world import BID, JOB, World, ok, refused

SANDBOX = {"method": "sandbox"}


async def test_a_payment_repeated_is_the_same_payment(world: World) -> None:
    invoice = await world.approved()
    path = f"/v1/invoices/{invoice['id']}/payments"
    first = await world.client.post(path, SANDBOX, key="pay-1")
    again = await world.client.post(path, SANDBOX, key="pay-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    refused(await world.client.post(path, {"method": "card"}, key="pay-1"), 422, "idempotency_key_reused")
    refused(await world.client.post(path, SANDBOX, key="pay-2"), 409, "already_paid")
    assert len((await ok(await world.client.get("/v1/transactions")))["items"]) == 1


async def test_a_refund_repeated_is_the_same_refund(world: World) -> None:
    transaction = await world.transaction()
    path = f"/v1/transactions/{transaction['id']}/refunds"
    body = {"amount_cents": 1_000, "reason": "x"}
    answers = [await world.talent.post(path, body, key="r") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    refused(await world.talent.post(path, body | {"amount_cents": 999}, key="r"), 422, "idempotency_key_reused")
    assert (await ok(await world.client.get(f"/v1/transactions/{transaction['id']}")))["total_refunded_cents"] == 1_000
    await ok(await world.admin.post(path, body, key="r"), 201)
    assert (await ok(await world.client.get(f"/v1/transactions/{transaction['id']}")))["total_refunded_cents"] == 2_000


async def test_the_same_key_at_once_has_one_effect(world: World) -> None:
    invoice = await world.approved()
    path = f"/v1/invoices/{invoice['id']}/payments"
    answers = await asyncio.gather(*(world.client.post(path, SANDBOX, key="k") for _ in range(5)))
    good = [answer for answer in answers if answer.status_code == 201]
    assert good
    assert len({answer.content for answer in good}) == 1
    for answer in answers:
        if answer not in good:
            refused(answer, 409, "idempotency_key_in_flight")
    assert len((await ok(await world.client.get("/v1/transactions")))["items"]) == 1


async def test_a_failed_request_leaves_the_key_free(world: World) -> None:
    invoice = await world.invoice()
    path = f"/v1/invoices/{invoice['id']}"
    refused(await world.client.post(f"{path}/payments", SANDBOX, key="k"), 409, "invalid_state")
    await ok(await world.client.post(f"{path}/approve"))
    await ok(await world.client.post(f"{path}/payments", SANDBOX, key="k"), 201)


async def test_every_post_takes_a_key(world: World) -> None:
    answers = [await world.client.post("/v1/jobs", JOB, key="job") for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    job = answers[0].json()
    for call in (f"/v1/jobs/{job['id']}/publish", f"/v1/jobs/{job['id']}/close"):
        first, again = [await world.client.post(call, key=call) for _ in range(2)]
        assert (first.status_code, first.content) == (200, again.content)
    assert len(await world.events(job["id"])) == 2
    other = await world.job()
    bids = [await world.talent.post(f"/v1/jobs/{other['id']}/bids", BID, key="bid") for _ in range(2)]
    assert (bids[0].status_code, bids[0].content) == (201, bids[1].content)
