"""Facts in any order, told any number of times, end in the same rewards; what is missing is waited for or asked."""

from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy.exc import DBAPIError

from chassis.bus import Delivery, Record
from chassis.clock import utc_now
from chassis.decoding import Poison, decode, known_events
from chassis.envelope import wrap
from chassis.ids import new_id
from events.governance import GrantApproved
from services.rewards import models, workers
from tests.rewards.world import JOINED, OUTBOX, Story, World, parameters

TWENTY = 20 * 10**18
UNBALANCED = """
    INSERT INTO ledger_postings (entry_id, code, account, amount_wei, beneficiary_id, reward_id, is_shown, created_at)
    SELECT gen_random_uuid(), code, account, 1, beneficiary_id, reward_id, true, now() FROM ledger_postings LIMIT 1
"""


async def _ends_as_told(world: World, story: Story, event) -> None:
    found = await world.rewards(event.transaction_id)
    assert [(row.side, row.beneficiary_id) for row in found] == [
        ("client", story.client_connector),
        ("talent", story.talent_connector),
    ]
    assert [row.amount_wei for row in found] == [TWENTY, TWENTY]
    assert [(row.status, row.reason) for row in found] == [("held", "unverified")] * 2
    await world.check_ledger()


async def test_every_order_of_facts_ends_in_the_same_rewards(world: World):
    await world.set_price()
    for order in permutations(range(4)):
        story = Story(world)
        version = int(str(1) + "".join(map(str, order)))
        completed = story.completed(parameters_version=version)
        facts = [completed, *story.registrations(), parameters(version)]
        for index in order:
            await world.tell(facts[index])
        await workers.accrue_ready(world.context)
        await _ends_as_told(world, story, completed)


async def test_refunds_may_come_before_their_transaction_and_facts_after(world: World):
    await world.set_price()
    for order in permutations(range(4)):
        story = Story(world)
        completed = story.completed()
        first, second = story.refunded(completed, 25_000), story.refunded(completed, 25_000, before=25_000)
        by_client, by_talent = story.registrations()
        await world.tell(by_talent)
        facts = [completed, by_client, first, second]
        for index in order:
            await world.tell(facts[index])
        await world.verify()
        found = await world.rewards(completed.transaction_id)
        assert [row.amount_wei for row in found] == [TWENTY // 2] * 2
        assert sum(wei for _, wei in await world.lines(story.client_connector)) == TWENTY // 2
    await world.check_ledger()


async def test_facts_told_again_change_nothing(world: World, story: Story):
    await world.set_price()
    completed = story.completed()
    for event in (*story.registrations(), completed, story.refunded(completed, 10_000)):
        for _ in range(3):
            await world.tell(event)
            await world.verify()
    assert [row.amount_wei for row in await world.rewards()] == [18 * 10**18] * 2
    assert await world.lines(story.client_connector) == [("accrual", TWENTY), ("cancel", -2 * 10**18)]
    assert len(await world.published("rewards.reward.accrued.v1")) == 2
    await world.check_ledger()


async def test_only_referred_members_earn_for_somebody(world: World, story: Story):
    await world.set_price()
    await world.tell(story.member(story.client, None))
    await world.tell(story.member(story.talent, story.talent_connector))
    completed = story.completed()
    await world.tell(completed)
    (only,) = await world.rewards(completed.transaction_id)
    assert (only.side, only.amount_wei) == ("talent", TWENTY)
    other = Story(world)
    for member_id in (other.client, other.talent):
        await world.tell(other.member(member_id, None))
    nobody = other.completed()
    await world.tell(nobody)
    assert await world.rewards(nobody.transaction_id) == []
    assert (await world.transaction(nobody.transaction_id)).verification == "not_needed"


async def test_one_connector_on_both_sides_earns_both(world: World, story: Story):
    await world.set_price()
    for member_id in (story.client, story.talent):
        await world.tell(story.member(member_id, story.client_connector))
    await world.tell(story.completed())
    found = await world.rewards()
    assert [(row.beneficiary_id, row.amount_wei) for row in found] == [(story.client_connector, TWENTY)] * 2


async def test_a_referral_expires_after_the_duration_governance_set(world: World, story: Story):
    await world.set_price()
    await world.tell(parameters(3, referral_duration_seconds=86_400))
    for event in story.registrations():
        await world.tell(event)
    late = story.completed(parameters_version=3)
    early = story.completed(parameters_version=3, completed_at=JOINED + timedelta(hours=1))
    for event in (late, early):
        await world.tell(event)
    assert await world.rewards(late.transaction_id) == []
    assert len(await world.rewards(early.transaction_id)) == 2


async def test_rewards_are_cut_in_proportion_to_the_fee(world: World, story: Story):
    await story.begin()
    completed = await story.pay(client_fee_cents=1_000)
    assert [row.amount_wei for row in await world.rewards(completed.transaction_id)] == [10 * 10**18] * 2
    free = await story.pay(client_fee_cents=0)
    found = await world.rewards(free.transaction_id)
    assert [(row.status, row.reason, row.amount_wei) for row in found] == [("cancelled", "zero_amount", 0)] * 2


async def test_an_unknown_party_is_asked_of_identity_after_a_while(world: World, story: Story):
    await world.set_price()
    completed = story.completed()
    await world.tell(completed)
    assert (await world.transaction(completed.transaction_id)).status == "waiting"
    story.registrations()
    await workers.ask_for_facts(world.context)
    assert not [path for path in world.neighbours.asked if "members" in path], "it is too early to ask"
    await world.execute("UPDATE parties SET needed_since = needed_since - interval '6 seconds'")
    world.neighbours.is_down = True
    await workers.ask_for_facts(world.context)
    assert (await world.transaction(completed.transaction_id)).status == "waiting"
    world.neighbours.is_down = False
    await world.execute("UPDATE parties SET asked_at = asked_at - interval '6 seconds'")
    await workers.ask_for_facts(world.context)
    await _ends_as_told(world, story, completed)


async def test_a_party_that_identity_does_not_know_holds_the_transaction_until_it_is_known(world: World, story: Story):
    await world.set_price()
    await world.tell(story.member(story.client, story.client_connector))
    completed = story.completed()
    await world.tell(completed)
    await world.execute("UPDATE parties SET needed_since = needed_since - interval '6 seconds'")
    await workers.ask_for_facts(world.context)
    held = await world.transaction(completed.transaction_id)
    assert (held.status, held.reason) == ("held", "unknown_party")
    await world.tell(story.member(story.talent, story.talent_connector))
    await _ends_as_told(world, story, completed)


async def test_without_a_price_rewards_are_held_and_priced_later_as_of_their_own_moment(world: World, story: Story):
    for event in story.registrations():
        await world.tell(event)
    completed = story.completed()
    await world.tell(completed)
    assert {(row.status, row.reason, row.price_usd_e8) for row in await world.rewards()} == {
        ("held", "stale_price", None)
    }
    assert await world.published("rewards.reward.accrued.v1") == []
    await world.tell(story.refunded(completed, 50_000))
    await world.verify()
    await world.set_price()
    await world.execute("UPDATE rewards SET check_at = clock_timestamp() WHERE check_at IS NOT NULL")
    await workers.review_due(world.context)
    found = await world.rewards()
    assert [row.amount_wei for row in found] == [TWENTY // 2] * 2
    assert {(row.status, row.reason) for row in found} == {("held", "no_payout_wallet")}
    await world.check_ledger()


async def test_a_new_price_counts_from_its_own_moment_on(world: World, story: Story):
    await story.begin()
    before = utc_now()
    await world.set_price(100_000_000)
    late = await story.pay(completed_at=before)
    new = await story.pay()
    assert [row.amount_wei for row in await world.rewards(late.transaction_id)] == [TWENTY] * 2
    assert [row.amount_wei for row in await world.rewards(new.transaction_id)] == [TWENTY // 2] * 2


async def test_verified_rewards_are_queued_or_held_for_want_of_a_wallet(world: World, story: Story):
    await story.begin(wallets=False)
    await world.tell(story.wallet(story.client_connector))
    completed = await story.pay()
    found = await world.rewards(completed.transaction_id)
    assert [(row.status, row.reason) for row in found] == [("queued", None), ("held", "no_payout_wallet")]
    await world.tell(story.wallet(story.talent_connector, at=utc_now() + timedelta(seconds=0.2)))
    await workers.review_due(world.context)
    assert (await world.rewards(completed.transaction_id))[1].status == "held"
    await world.execute("SELECT pg_sleep(0.25)")
    await workers.review_due(world.context)
    assert (await world.rewards(completed.transaction_id))[1].status == "queued"


async def test_the_refund_window_holds_a_reward_from_its_completion_on(world: World, story: Story):
    await story.begin()
    await world.tell(parameters(4, reward_hold_seconds=3_600))
    young = await story.pay(parameters_version=4)
    old = await story.pay(parameters_version=4, completed_at=utc_now() - timedelta(hours=2))
    assert {(row.status, row.reason) for row in await world.rewards(young.transaction_id)} == {
        ("held", "refund_window")
    }
    assert {row.status for row in await world.rewards(old.transaction_id)} == {"queued"}
    await story.refund(young, 100_000)
    assert {(row.status, row.reason) for row in await world.rewards(young.transaction_id)} == {
        ("cancelled", "zero_amount")
    }
    await world.check_ledger()


@pytest.mark.parametrize("address", ["", "0x12", "0x" + "0" * 40, "0x" + "g" * 40, "0x" + "1" * 41, "1" * 42])
async def test_a_payout_address_that_nothing_can_be_paid_to_is_poison(story: Story, address: str):
    """Stored, it would make every settlement with it fail, and so hold up everybody."""
    event = story.wallet(story.client_connector)
    value = wrap(event, event_id=new_id(), sequence=1, time=utc_now(), traceparent=None).to_bytes()
    forged = value.replace(event.address.encode(), address.encode())
    record = Record("identity.wallet", str(event.member_id).encode(), forged)
    with pytest.raises(Poison, match="address"):
        decode(Delivery(record, 0, 0), known_events())
    assert decode(Delivery(record._replace(value=value), 0, 0), known_events()).event == event


async def test_small_rewards_wait_until_together_they_reach_the_minimum(world: World, story: Story):
    await world.tell(parameters(5, min_payout_wei=30 * 10**18))
    await story.begin()
    first = await story.pay()
    assert {row.reason for row in await world.rewards(first.transaction_id)} == {"below_minimum"}
    second = await story.pay()
    await workers.review_due(world.context)
    for event in (first, second):
        assert {row.status for row in await world.rewards(event.transaction_id)} == {"queued"}


async def test_a_forged_transaction_is_cancelled_and_dead_lettered(world: World, story: Story):
    await story.begin()
    forged = await story.pay(is_true=False)
    found = await world.rewards(forged.transaction_id)
    assert [(row.status, row.reason, row.source_kind) for row in found] == [("cancelled", "unverified", "forged")] * 2
    assert (await world.transaction(forged.transaction_id)).status == "forged"
    copies = await world.rows(OUTBOX.select().where(OUTBOX.c.topic == "jobs.transaction.rewards.dlq"))
    assert [bytes(copy.key).decode() for copy in copies] == [str(forged.transaction_id)]
    await world.check_ledger()


@pytest.mark.parametrize("genuine_comes_again", [False, True])
async def test_an_altered_transaction_gives_way_to_the_true_one(world: World, story: Story, genuine_comes_again: bool):
    await story.begin()
    true = story.completed()
    altered = true.model_copy(update={"amount_cents": 900_000, "client_fee_cents": 90_000})
    await world.tell(altered)
    if genuine_comes_again:
        await world.tell(true)
    await world.verify()
    await world.tell(true)
    found = [row for row in await world.rewards(true.transaction_id) if row.source_kind == "transaction"]
    assert [(row.status, row.amount_wei) for row in found] == [("queued", TWENTY)] * 2
    await world.check_ledger()


async def test_verification_waits_while_the_jobs_service_is_away(world: World, story: Story):
    await story.begin()
    world.neighbours.is_down = True
    completed = await story.pay()
    assert {row.reason for row in await world.rewards(completed.transaction_id)} == {"unverified"}
    world.neighbours.is_down = False
    await world.execute("SELECT pg_sleep(0.06)")
    await world.verify()
    assert {row.status for row in await world.rewards(completed.transaction_id)} == {"queued"}


async def test_sandbox_payments_are_never_paid_off_the_local_chain(world: World, story: Story):
    await story.begin()
    world.context.settings.chain_id = 1
    sandbox = await story.pay()
    real = await story.pay(provider="stripe")
    assert {row.status for row in await world.rewards(sandbox.transaction_id)} == {"cancelled"}
    assert {row.status for row in await world.rewards(real.transaction_id)} == {"queued"}


async def test_a_grant_is_a_reward_of_its_own_and_unverified(world: World):
    grant = GrantApproved(grant_id=new_id(), beneficiary_id=new_id(), amount_wei=5, approved_at=utc_now())
    for _ in range(2):
        await world.tell(grant)
    (only,) = await world.rewards()
    assert (only.kind, only.status, only.reason, only.amount_wei) == ("grant", "held", "unverified", 5)
    await world.check_ledger()


async def test_the_ledger_is_append_only_and_balanced_by_the_database(world: World, story: Story):
    await story.begin()
    await story.pay()
    for sql in (
        "UPDATE ledger_postings SET amount_wei = 1",
        "DELETE FROM ledger_postings",
        "TRUNCATE ledger_postings",
        UNBALANCED,
    ):
        with pytest.raises(DBAPIError, match=r"append-only|sum to 0"):
            await world.execute(sql)
    assert len(await world.rows(models.ledger_postings.select())) == 4


async def test_a_reward_that_nobody_takes_for_a_year_is_the_networks_again(world: World, story: Story):
    await story.begin(wallets=False)
    completed = await story.pay()
    (first, _) = await world.rewards()
    assert first.check_at == first.created_at + timedelta(days=365)
    await world.tell(story.wallet(story.client_connector))
    year = "interval '365 days'"
    await world.execute(f"UPDATE rewards SET created_at = created_at - {year}, check_at = check_at - {year}")
    await workers.review_due(world.context)
    found = {row.side: row for row in await world.rewards()}
    assert (found["client"].status, found["talent"].status) == ("queued", "cancelled")
    assert found["talent"].reason == "no_payout_wallet"
    assert await world.lines(story.talent_connector) == [("accrual", TWENTY), ("cancel", -TWENTY)]
    (told,) = await world.published("rewards.reward.cancelled.v1")
    assert (told["reward_id"], told["reason"]) == (str(found["talent"].id), "no_payout_wallet")
    await world.tell(story.wallet(story.talent_connector))
    await workers.review_due(world.context)
    await story.refund(completed, 50_000)
    assert {row.side: row.status for row in await world.rewards()} == {"client": "queued", "talent": "cancelled"}
    await world.check_ledger()
