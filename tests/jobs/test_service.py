"""The service as others meet it: internal API, schema, document, and one unit of work for each request."""

import asyncio
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from fastapi import FastAPI

from chassis.db import Database
from chassis.ids import new_id
from chassis.testing import eventually
from services.jobs.app import build
from tests.jobs.world import World, ok, refused

LOCATION = "services/jobs/migrations"


async def test_other_services_verify_a_transaction(world: World) -> None:
    transaction = await world.transaction()
    path = f"/internal/transactions/{transaction['id']}"
    (event,) = await world.events(transaction["id"])
    totals = {"status": "completed", "total_refunded_cents": 0, "total_client_fee_refunded_cents": 0}
    assert await ok(await world.internal(path)) == event.data | totals
    await world.refund(transaction, 50_000)
    facts = await ok(await world.internal(path))
    assert (facts["status"], facts["total_refunded_cents"]) == ("partially_refunded", 50_000)
    assert facts["total_client_fee_refunded_cents"] == 4_000
    refused(await world.internal(f"/internal/transactions/{new_id()}"), 404, "unknown_transaction")
    refused(await world.internal("/internal/transactions/x"), 404, "not_found")


async def test_other_services_verify_a_refund(world: World) -> None:
    transaction = await world.transaction()
    refund = await world.refund(transaction, 50_000)
    path = f"/internal/transactions/{transaction['id']}/refunds/{refund['id']}"
    told = (await world.events(transaction["id"]))[-1]
    assert told.type == "jobs.transaction.refunded.v1"
    parties = {"client_id": str(world.client.id), "talent_id": str(world.talent.id)}
    assert await ok(await world.internal(path)) | parties == told.data
    other = await world.transaction()
    for nothing in (path.replace(transaction["id"], other["id"]), path.replace(refund["id"], str(new_id()))):
        refused(await world.internal(nothing), 404, "unknown_transaction")
    refused(await world.internal(path, audience="rewards"), 401)


async def test_an_answer_about_a_transaction_waits_for_the_refund_under_way(world: World) -> None:
    """Or a refund inside the window could be missed by whoever asks right after it."""
    transaction = await world.transaction()
    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "UPDATE transactions SET total_refunded_cents = 7 WHERE id = $1", UUID(transaction["id"])
            )
            answer = asyncio.create_task(world.internal(f"/internal/transactions/{transaction['id']}"))
            await eventually(lambda: _somebody_waits(world), every=0.05)
        assert (await ok(await answer))["total_refunded_cents"] == 7
    finally:
        await connection.close()


async def _somebody_waits(world: World) -> bool:
    query = "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database()"
    (row,) = await world.sql(query + " AND wait_event_type = 'Lock'")
    return bool(row["waiting"])


async def test_the_internal_api_is_for_services_only(world: World) -> None:
    path = f"/internal/transactions/{(await world.transaction())['id']}"
    refused(await world.http.get(path), 401)
    refused(await world.internal(path, audience="identity"), 401)
    refused(await world.internal(path, secret="another secret of more than 32 characters"), 401)
    for member in (world.talent, world.admin):
        refused(await member.get(path), 401)


async def test_paying_is_one_unit_of_work(world: World) -> None:
    """If the last statement of the payment fails, nothing of it exists: no transaction, no event, no paid invoice."""
    invoice = await world.approved()
    before = len(await world.events())
    await world.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    await world.sql("CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()")
    path = f"/v1/invoices/{invoice['id']}"
    refused(await world.client.post(f"{path}/payments", {"method": "sandbox"}, key="k"), 500)
    assert (await ok(await world.client.get(path)))["status"] == "approved"
    for table in ("transactions", "payments"):
        assert await world.sql(f"SELECT FROM {table}") == []
    assert len(await world.events()) == before
    await world.sql("DROP TRIGGER refuse ON outbox")
    await ok(await world.client.post(f"{path}/payments", {"method": "sandbox"}, key="k"), 201)


async def test_the_database_itself_refuses_wrong_money(world: World) -> None:
    transaction = await world.transaction(100)
    for change in (
        "total_refunded_cents = 101",
        "total_refunded_cents = -1",
        "total_client_fee_refunded_cents = client_fee_cents + 1",
        "status = 'lost'",
    ):
        database = Database(world.dsn)
        try:
            async with database.unit_of_work() as session:
                await session.execute(
                    sa.text(f"UPDATE transactions SET {change} WHERE id = :id"), {"id": transaction["id"]}
                )
            refused_by_database = False
        except sa.exc.IntegrityError:
            refused_by_database = True
        finally:
            await database.close()
        assert refused_by_database, change


def document() -> dict[str, object]:
    app: FastAPI = build()
    return app.openapi()


async def test_the_document_is_complete() -> None:
    paths = document()["paths"]
    assert isinstance(paths, dict)
    operations = [(path, method, operation) for path, item in paths.items() for method, operation in item.items()]
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids)) == 33
    public = {"list_jobs", "get_job"}
    for path, method, operation in operations:
        assert operation["summary"], path
        assert operation["tags"], path
        documented = set(operation["responses"])
        assert {"400", "401", "422", "503"} <= documented, path
        assert ("404" in documented) == ("{" in path), path
        assert bool(operation.get("security")) == (operation["operationId"] not in public), path
        assert ("201" in documented) != ("200" in documented), path
        if method == "post":
            assert "409" in documented, path
            keys = [item for item in operation["parameters"] if item["name"] == "Idempotency-Key"]
            assert [key["required"] for key in keys] == [path.endswith(("/payments", "/refunds"))], path
    assert not any(path.startswith("/internal") for path in paths)
