"""Invoices, payments, transactions and refunds over HTTP: amounts, states, roles, events."""

from typing import Any
from uuid import uuid4

import pytest

from chassis.money import MAX_CENTS
from chassis.testing import fresh_database
from events.jobs import TransactionCompleted, TransactionRefunded
from tests.jobs.world import World, ok, refused, world_on

SANDBOX = {"method": "sandbox"}
REFUND = {"amount_cents": 100, "reason": "Not worked"}


async def test_an_invoice_shows_what_it_costs(world: World) -> None:
    engagement = await world.engagement()
    lines = [{"description": "Code", "amount_cents": 60_000}, {"description": "Review", "amount_cents": 40_000}]
    response = await world.talent.post(f"/v1/engagements/{engagement['id']}/invoices", {"lines": lines})
    invoice = await ok(response, 201)
    assert response.headers["location"] == f"/v1/invoices/{invoice['id']}"
    expected = {
        "lines": lines,
        "amount_cents": 100_000,
        "client_fee_cents": 10_000,
        "talent_fee_cents": 0,
        "total_cents": 110_000,
        "currency": "USD",
        "parameters_version": 0,
        "status": "submitted",
        "engagement_id": engagement["id"],
    }
    assert {name: invoice[name] for name in expected} == expected
    for party in (world.client, world.talent):
        assert await ok(await party.get(f"/v1/invoices/{invoice['id']}")) == invoice
        assert (await ok(await party.get(f"/v1/engagements/{engagement['id']}/invoices")))["items"] == [invoice]


@pytest.mark.parametrize(("end", "told"), [("approve", "approved"), ("reject", "rejected")])
async def test_an_invoice_is_told_when_it_comes_and_when_it_is_decided(world: World, end: str, told: str) -> None:
    invoice = await world.invoice(100_000)
    body = {"reason": "between the two of us"} if end == "reject" else None
    decided = await ok(await world.client.post(f"/v1/invoices/{invoice['id']}/{end}", body))
    named = {"invoice_id": invoice["id"], "engagement_id": invoice["engagement_id"]}
    named |= {"client_id": str(world.client.id), "talent_id": str(world.talent.id)}
    figures = {"amount_cents": 100_000, "client_fee_cents": 10_000, "total_cents": 110_000, "currency": "USD"}
    submitted, last = await world.events(invoice["id"])
    assert (submitted.type, submitted.sequence) == ("jobs.invoice.submitted.v1", "1")
    assert submitted.data == named | figures | {"submitted_at": invoice["created_at"]}
    assert (last.type, last.sequence) == (f"jobs.invoice.{told}.v1", "2")
    assert last.data == named | {f"{told}_at": decided["decided_at"]}


async def test_wrong_invoices_are_refused(world: World) -> None:
    path = f"/v1/engagements/{(await world.engagement())['id']}/invoices"

    def lines(*amounts: Any) -> dict[str, Any]:
        return {"lines": [{"description": "Work", "amount_cents": amount} for amount in amounts]}

    wrong: list[Any] = [
        lines(99),
        lines(50, 49),
        lines(MAX_CENTS, 1),
        lines(MAX_CENTS + 1),
        lines(2**63),
        lines(10**30),
        lines(0, 100),
        lines(200, -100),
        lines(100.0),
        lines("100"),
        lines(True),
        lines(None),
        lines(),
        lines(*[100] * 101),
        {"lines": [{"amount_cents": 100}]},
        {"lines": [{"description": "", "amount_cents": 100}]},
        {"lines": [{"description": "x" * 501, "amount_cents": 100}]},
        {"lines": [{"description": "x", "amount_cents": 100, "tax": 1}]},
        {"lines": None},
        {},
        lines(100) | {"currency": "EUR"},
        lines(100) | {"client_fee_cents": 0},
        lines(100) | {"talent_fee_cents": 0},
    ]
    for body in wrong:
        refused(await world.talent.post(path, body), 422)
    assert (await ok(await world.client.get(path)))["items"] == []
    assert (await ok(await world.talent.post(path, lines(100)), 201))["client_fee_cents"] == 10
    assert (await ok(await world.talent.post(path, lines(MAX_CENTS)), 201))["total_cents"] == 11 * MAX_CENTS // 10


async def test_only_the_talent_invoices_and_only_while_engaged(world: World) -> None:
    engagement = await world.engagement()
    path = f"/v1/engagements/{engagement['id']}/invoices"
    body = {"lines": [{"description": "Work", "amount_cents": 100}]}
    refused(await world.http.post(path, json=body), 401)
    refused(await world.client.post(path, body), 403)
    for member in (world.stranger, world.admin):
        refused(await member.post(path, body), 404)
        refused(await member.get(path), 404)
    refused(await world.talent.post(f"/v1/engagements/{uuid4()}/invoices", body), 404)
    await ok(await world.client.post(f"/v1/engagements/{engagement['id']}/end"))
    refused(await world.talent.post(path, body), 409, "invalid_state")


async def test_the_client_decides_once(world: World) -> None:
    reason = {"reason": "Not agreed"}
    for action, body, status in (("approve", None, "approved"), ("reject", reason, "rejected")):
        invoice = await world.invoice()
        path = f"/v1/invoices/{invoice['id']}"
        refused(await world.http.post(f"{path}/{action}", json=body), 401)
        refused(await world.talent.post(f"{path}/{action}", body), 403)
        for member in (world.stranger, world.admin):
            refused(await member.get(path), 404)
            refused(await member.post(f"{path}/{action}", body), 404)
        decided = await ok(await world.client.post(f"{path}/{action}", body))
        assert (decided["status"], decided["reason"]) == (status, body["reason"] if body else None)
        refused(await world.client.post(f"{path}/approve"), 409, "invalid_state")
        refused(await world.client.post(f"{path}/reject", reason), 409, "invalid_state")
    path = f"/v1/invoices/{(await world.invoice())['id']}/reject"
    for wrong in (None, {}, {"reason": ""}, {"reason": "x" * 501}, {"reason": 1}):
        refused(await world.client.post(path, wrong), 422)


async def test_a_payment_completes_a_transaction(world: World) -> None:
    invoice = await world.approved()
    response = await world.client.post(f"/v1/invoices/{invoice['id']}/payments", SANDBOX)
    payment = await ok(response, 201)
    assert (payment["status"], payment["method"], payment["total_cents"]) == ("succeeded", "sandbox", 110_000)
    assert response.headers["location"] == f"/v1/payments/{payment['id']}"
    for party in (world.client, world.talent):
        assert await ok(await party.get(response.headers["location"])) == payment
        paid = await ok(await party.get(f"/v1/invoices/{invoice['id']}"))
        assert paid == invoice | {"status": "paid", "transaction_id": payment["transaction_id"]}
        transaction = await ok(await party.get(f"/v1/transactions/{payment['transaction_id']}"))
        assert (await ok(await party.get("/v1/transactions")))["items"] == [transaction]
    assert transaction["status"] == "completed"
    assert (transaction["id"], transaction["total_cents"]) == (transaction["transaction_id"], 110_000)
    assert (transaction["total_refunded_cents"], transaction["total_client_fee_refunded_cents"]) == (0, 0)
    (event,) = await world.events(transaction["id"])
    assert (event.type, event.sequence) == (TransactionCompleted.type_, "1")
    assert event.data == {
        "transaction_id": transaction["id"],
        "invoice_id": invoice["id"],
        "engagement_id": invoice["engagement_id"],
        "client_id": str(world.client.id),
        "talent_id": str(world.talent.id),
        "provider": "sandbox",
        "amount_cents": 100_000,
        "currency": "USD",
        "client_fee_cents": 10_000,
        "talent_fee_cents": 0,
        "parameters_version": 0,
        "completed_at": transaction["completed_at"],
    }
    assert {name: transaction[name] for name in event.data} == event.data


async def test_what_cannot_be_paid(world: World) -> None:
    invoice = await world.invoice()
    path = f"/v1/invoices/{invoice['id']}/payments"
    refused(await world.client.post(path, SANDBOX), 409, "invalid_state")
    await ok(await world.client.post(f"/v1/invoices/{invoice['id']}/approve"))
    refused(await world.http.post(path, json=SANDBOX), 401)
    refused(await world.talent.post(path, SANDBOX), 403)
    for member in (world.stranger, world.admin):
        refused(await member.post(path, SANDBOX), 404)
    without_key = await world.http.post(path, json=SANDBOX, headers=world.client.headers)
    refused(without_key, 400, "idempotency_key_missing")
    refused(await world.client.post(path, {"method": "card"}), 422, "unknown_payment_method")
    for wrong in ({}, {"method": ""}, {"method": None}, {"method": "x" * 51}, {"method": "sandbox", "amount_cents": 1}):
        refused(await world.client.post(path, wrong), 422)
    payment = await ok(await world.client.post(path, SANDBOX), 201)
    refused(await world.client.post(path, SANDBOX), 409, "already_paid")
    refused(await world.client.post(f"/v1/invoices/{invoice['id']}/approve"), 409, "invalid_state")
    for member in (world.stranger, world.admin):
        refused(await member.get(f"/v1/payments/{payment['id']}"), 404)
    rejected = await world.invoice()
    await ok(await world.client.post(f"/v1/invoices/{rejected['id']}/reject", {"reason": "No"}))
    refused(await world.client.post(f"/v1/invoices/{rejected['id']}/payments", SANDBOX), 409, "invalid_state")


async def test_an_invoice_of_an_ended_engagement_can_still_be_paid(world: World) -> None:
    invoice = await world.invoice()
    await ok(await world.client.post(f"/v1/engagements/{invoice['engagement_id']}/end"))
    await ok(await world.client.post(f"/v1/invoices/{invoice['id']}/approve"))
    await ok(await world.client.post(f"/v1/invoices/{invoice['id']}/payments", SANDBOX), 201)


async def test_without_the_sandbox_its_method_is_unknown(postgres_dsn: str) -> None:
    async with (
        fresh_database(postgres_dsn, "services/jobs/migrations") as dsn,
        world_on(dsn, sandbox_enabled=False) as world,
    ):
        invoice = await world.approved()
        response = await world.client.post(f"/v1/invoices/{invoice['id']}/payments", SANDBOX)
        refused(response, 422, "unknown_payment_method")
        assert (await ok(await world.client.get(f"/v1/invoices/{invoice['id']}")))["status"] == "approved"


async def test_refunds_add_up_to_the_amount(world: World) -> None:
    transaction = await world.transaction()
    path = f"/v1/transactions/{transaction['id']}"
    response = await world.talent.post(f"{path}/refunds", {"amount_cents": 25_001, "reason": "Not worked"})
    first = await ok(response, 201)
    assert response.headers["location"] == f"/v1/refunds/{first['id']}"
    assert (first["amount_cents"], first["client_fee_refunded_cents"]) == (25_001, 2_000)
    assert (await ok(await world.client.get(path)))["status"] == "partially_refunded"
    refused(
        await world.talent.post(f"{path}/refunds", {"amount_cents": 75_000, "reason": "x"}),
        422,
        "refund_exceeds_transaction",
    )
    last = await world.refund(transaction, 74_999)
    assert (last["total_refunded_cents"], last["client_fee_refunded_cents"]) == (100_000, 6_000)
    refunded = await ok(await world.client.get(path))
    assert (refunded["status"], refunded["total_refunded_cents"]) == ("refunded", 100_000)
    assert refunded["total_client_fee_refunded_cents"] == 8_000
    refused(await world.talent.post(f"{path}/refunds", REFUND), 422, "refund_exceeds_transaction")
    for viewer in (world.client, world.talent, world.admin):
        assert (await ok(await viewer.get(f"{path}/refunds")))["items"] == [last, first]
        assert await ok(await viewer.get(f"/v1/refunds/{last['id']}")) == last
    _, event, final = await world.events(transaction["id"])
    assert (event.type, event.sequence, final.sequence) == (TransactionRefunded.type_, "2", "3")
    assert final.data == {
        "transaction_id": transaction["id"],
        "refund_id": last["id"],
        "refunded_cents": 74_999,
        "total_refunded_cents": 100_000,
        "client_fee_refunded_cents": 6_000,
        "total_client_fee_refunded_cents": 8_000,
        "refunded_at": last["created_at"],
        "client_id": str(world.client.id),
        "talent_id": str(world.talent.id),
    }


async def test_who_may_refund_and_see_refunds(world: World) -> None:
    transaction = await world.transaction()
    path = f"/v1/transactions/{transaction['id']}"
    refused(await world.http.post(f"{path}/refunds", json=REFUND), 401)
    refused(await world.client.post(f"{path}/refunds", REFUND), 403)
    refused(await world.stranger.post(f"{path}/refunds", REFUND), 404)
    without_key = await world.http.post(f"{path}/refunds", json=REFUND, headers=world.talent.headers)
    refused(without_key, 400, "idempotency_key_missing")
    refund = await ok(await world.admin.post(f"{path}/refunds", REFUND), 201)
    assert refund["requested_by_id"] == str(world.admin.id)
    await ok(await world.admin.get(path))
    for read in (path, f"{path}/refunds", f"/v1/refunds/{refund['id']}"):
        refused(await world.http.get(read), 401)
        refused(await world.stranger.get(read), 404)
    assert (await ok(await world.admin.get("/v1/transactions")))["items"] == []
    wrong: list[Any] = [
        {"amount_cents": 0},
        {"amount_cents": -1},
        {"amount_cents": "1"},
        {"amount_cents": 10**30},
        {"reason": ""},
        {"reason": "x" * 501},
        {"client_fee_refunded_cents": 1},
    ]
    for change in wrong:
        refused(await world.talent.post(f"{path}/refunds", REFUND | change), 422)
    refused(await world.talent.post(f"{path}/refunds", {"amount_cents": 1}), 422)


async def test_splitting_a_refund_gains_nothing(world: World) -> None:
    whole, split = await world.transaction(9_999), await world.transaction(9_999)
    at_once = await world.refund(whole, 999)
    parts = [await world.refund(split, 9) for _ in range(111)]
    assert sum(part["client_fee_refunded_cents"] for part in parts) == at_once["client_fee_refunded_cents"] == 79
