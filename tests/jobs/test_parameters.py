"""The network's parameters: which version an invoice follows, and what a refund gives back under it."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.bus import Record
from chassis.bus_memory import MemoryBus
from chassis.db import Database
from chassis.envelope import Envelope, wrap
from chassis.ids import new_id
from chassis.testing import eventually, fresh_database
from events.governance import GENESIS_PARAMETERS, ParameterChanged
from events.registry import TOPICS
from services.jobs.domain.parameters import Parameters
from services.jobs.errors import MalformedParameters
from services.jobs.handlers import on_parameter_changed
from services.jobs.service.parameters import GENESIS, parameters_in_force, parameters_of
from tests.jobs.world import World, ok, world_on

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def changed(version: int, effective_at: datetime, **values: int) -> ParameterChanged:
    return ParameterChanged(version=version, parameters=GENESIS_PARAMETERS | values, effective_at=effective_at)


def enveloped(event: ParameterChanged, sequence: int = 1) -> Envelope:
    return wrap(event, event_id=new_id(), sequence=sequence, time=MARCH, traceparent=None)


async def deliver(world: World, *events: ParameterChanged) -> None:
    """Hand the events to the handler, each in a unit of work."""
    database = Database(world.dsn)
    try:
        for event in events:
            async with database.unit_of_work() as session:
                await on_parameter_changed(session, event, enveloped(event))
    finally:
        await database.close()


async def in_force(world: World, moment: datetime) -> Parameters:
    database = Database(world.dsn)
    try:
        async with database.unit_of_work() as session:
            return await parameters_in_force(session, moment=moment)
    finally:
        await database.close()


async def test_the_version_in_force_is_a_question_of_time(world: World) -> None:
    assert await in_force(world, MARCH) == GENESIS
    later = MARCH + timedelta(days=30)
    await deliver(world, changed(2, later, client_fee_bps=500), changed(1, MARCH, client_fee_bps=900))
    moments = {
        MARCH - timedelta(microseconds=1): (0, 1_000),
        MARCH: (1, 900),
        later - timedelta(microseconds=1): (1, 900),
        later: (2, 500),
    }
    for moment, (version, bps) in moments.items():
        found = await in_force(world, moment)
        assert (found.version, found.client_fee_bps) == (version, bps)


async def test_a_version_is_never_rewritten(world: World) -> None:
    await deliver(
        world,
        changed(0, MARCH, client_fee_bps=1),
        changed(1, MARCH, client_fee_bps=900),
        changed(1, MARCH, client_fee_bps=1),
    )
    assert await in_force(world, MARCH - timedelta(days=1)) == GENESIS
    assert (await in_force(world, MARCH)).client_fee_bps == 900
    database = Database(world.dsn)
    async with database.unit_of_work() as session:
        assert await parameters_of(session, version=0) == GENESIS
        assert (await parameters_of(session, version=1)).client_fee_bps == 900
    await database.close()


async def test_a_set_that_makes_no_sense_is_not_stored(world: World) -> None:
    with pytest.raises(MalformedParameters):
        await deliver(world, changed(1, MARCH, client_fee_bps=10_001))
    assert await in_force(world, MARCH) == GENESIS


async def test_an_invoice_keeps_the_version_it_was_submitted_under(world: World) -> None:
    engagement = await world.engagement()
    before = await world.invoice(engagement=engagement)
    await world.parameters(1, client_fee_bps=500)
    await world.parameters(2, effective_at="infinity", client_fee_bps=1)
    after = await world.invoice(engagement=engagement)
    assert (before["parameters_version"], before["client_fee_cents"]) == (0, 10_000)
    assert (after["parameters_version"], after["client_fee_cents"], after["total_cents"]) == (1, 5_000, 105_000)
    await ok(await world.client.post(f"/v1/invoices/{before['id']}/approve"))
    payment = await ok(await world.client.post(f"/v1/invoices/{before['id']}/payments", {"method": "sandbox"}), 201)
    (event,) = await world.events(payment["transaction_id"])
    assert (event.data["parameters_version"], event.data["client_fee_cents"]) == (0, 10_000)


async def test_within_the_hold_the_fee_comes_back_in_proportion(world: World) -> None:
    await world.parameters(1, reward_hold_seconds=3_600)
    transaction = await world.transaction()
    early = await world.refund(transaction, 40_000)
    assert early["client_fee_refunded_cents"] == 4_000
    await world.sql(
        "UPDATE transactions SET completed_at = completed_at - interval '1 hour' WHERE id = $1::text::uuid",
        transaction["id"],
    )
    late = await world.refund(transaction, 60_000)
    assert late["client_fee_refunded_cents"] == 60_000 * 800 // 10_000
    assert late["total_client_fee_refunded_cents"] == 4_000 + 4_800


async def test_a_later_version_does_not_touch_refunds_of_an_earlier_one(world: World) -> None:
    transaction = await world.transaction()
    await world.parameters(1, client_fee_bps=10_000, connector_reward_bps=0, reward_hold_seconds=3_600)
    assert (await world.refund(transaction, 100_000))["client_fee_refunded_cents"] == 8_000


async def test_governances_event_arrives_over_the_bus(postgres_dsn: str) -> None:
    bus = MemoryBus()
    await bus.create_topics([*TOPICS, *(f"{topic}.jobs.dlq" for topic in TOPICS)])
    async with (
        fresh_database(postgres_dsn, "services/jobs/migrations") as dsn,
        world_on(dsn, bus=bus, role="all") as world,
    ):
        event = changed(1, MARCH, client_fee_bps=750)
        record = Record(event.topic(), event.key().encode(), enveloped(event).to_bytes(), ())
        await bus.publish([record, record])
        await eventually(lambda: world.sql("SELECT FROM parameters"))
        assert (await world.invoice())["client_fee_cents"] == 7_500
