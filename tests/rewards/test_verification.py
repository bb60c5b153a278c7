"""Nothing is paid or taken back on the word of an event: what jobs does not confirm has no effect, in any order."""

import random
from datetime import timedelta

import pytest

from chassis.ids import new_id
from services.rewards import workers
from services.rewards.service.dead_letters import CONTRADICTING_REFUND, UNCONFIRMED, UNCONFIRMED_REFUND
from tests.rewards.chain_world import PaidWorld
from tests.rewards.world import Story, World, parameters

TWENTY = 20 * 10**18


async def test_a_forged_refund_takes_nothing_and_is_dead_lettered(world: World, story: Story):
    await story.begin(wallets=False)
    event = await story.pay()
    envelope = await world.tell(story.refunded(event, 50_000, is_true=False))
    assert [row.amount_wei for row in await world.rewards()] == [TWENTY] * 2, "not before jobs has confirmed it"
    await world.verify()
    assert [row.amount_wei for row in await world.rewards()] == [TWENTY] * 2
    assert await world.dead_letters() == [(str(envelope.id), UNCONFIRMED_REFUND)]
    await world.check_ledger()


async def test_a_forged_refund_after_the_mint_makes_no_debt(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.payout()
    await paid.tell(paid_story.refunded(event, 100_000, is_true=False))
    await paid.verify()
    assert {(row.status, row.clawed_back_wei) for row in await paid.rewards()} == {("minted", 0)}
    assert len(await paid.dead_letters()) == 1
    await paid.check_invariants(paid_story)


@pytest.mark.parametrize("genuine_comes_again", [False, True])
async def test_an_altered_refund_gives_way_to_the_true_one(world: World, story: Story, genuine_comes_again: bool):
    await story.begin(wallets=False)
    true = story.refunded(await story.pay(), 25_000)
    altered = true.model_copy(update={"refunded_cents": 90_000, "total_refunded_cents": 90_000})
    first = await world.tell(altered)
    again = await world.tell(true) if genuine_comes_again else None
    await world.verify()
    await world.tell(true)
    await world.verify()
    assert [row.amount_wei for row in await world.rewards()] == [15 * 10**18] * 2
    expected = [(str(again.id), CONTRADICTING_REFUND)] if again else []
    assert await world.dead_letters() == [*expected, (str(first.id), UNCONFIRMED_REFUND)]
    late = await world.tell(altered)
    await world.verify()
    assert (await world.dead_letters())[-1] == (str(late.id), CONTRADICTING_REFUND)
    assert [row.amount_wei for row in await world.rewards()] == [15 * 10**18] * 2


async def test_a_refund_told_of_another_transaction_does_not_drown_the_true_one(world: World, story: Story):
    await story.begin(wallets=False)
    mine, other = await story.pay(), await story.pay()
    true = story.refunded(mine, 25_000)
    await world.tell(true.model_copy(update={"transaction_id": other.transaction_id}))
    await world.tell(true)
    await world.verify()
    assert [row.amount_wei for row in await world.rewards(mine.transaction_id)] == [15 * 10**18] * 2
    assert [row.amount_wei for row in await world.rewards(other.transaction_id)] == [TWENTY] * 2


@pytest.mark.parametrize("seed", range(6))
async def test_refunds_shuffled_repeated_and_forged_end_in_the_exact_amounts(world: World, seed: int):
    """Every event three times, all orders of kinds, forged ones among them, jobs asked now and then."""
    dice = random.Random(seed)
    await world.set_price()
    told, left = [], {}
    for _ in range(4):
        story = Story(world)
        event = story.completed()
        told += [*story.registrations(), event]
        before = 0
        for _ in range(dice.randint(0, 4)):
            cents = dice.randint(1, 20_000)
            told.append(story.refunded(event, cents, before=before))
            before += cents
        told.append(story.refunded(event, 100_000 - before, before=before, is_true=False))
        left[event.transaction_id] = (100_000 - before) * TWENTY // 100_000
    deck = told * 3
    dice.shuffle(deck)
    for event in deck:
        await world.tell(event)
        if dice.random() < 0.2:
            await world.verify()
    await workers.accrue_ready(world.context)
    await world.verify()
    for transaction_id, wei in left.items():
        assert {row.amount_wei for row in await world.rewards(transaction_id)} == {wei}
    assert [reason for _, reason in await world.dead_letters()] == [UNCONFIRMED_REFUND] * 4
    await world.check_ledger()


async def test_refunds_wait_while_the_jobs_service_is_away(world: World, story: Story):
    await story.begin(wallets=False)
    event = await story.pay()
    world.neighbours.is_down = True
    await world.tell(story.refunded(event, 25_000))
    await world.verify()
    assert [row.amount_wei for row in await world.rewards()] == [TWENTY] * 2
    world.neighbours.is_down = False
    await world.execute("SELECT pg_sleep(0.06)")
    await world.verify()
    assert [row.amount_wei for row in await world.rewards()] == [15 * 10**18] * 2
    assert await world.dead_letters() == []


async def test_an_address_that_leads_nowhere_cancels_nothing(world: World, story: Story):
    """A wrong REWARDS_JOBS_URL answers 404 to everything: that is not the jobs service's word."""
    await story.begin()
    world.neighbours.is_somewhere_else = True
    await world.tell(story.refunded(await story.pay(), 25_000))
    await world.verify()
    assert {(row.status, row.reason) for row in await world.rewards()} == {("held", "unverified")}
    world.neighbours.is_somewhere_else = False
    await world.execute("SELECT pg_sleep(0.06)")
    await world.verify()
    assert [(row.status, row.amount_wei) for row in await world.rewards()] == [("queued", 15 * 10**18)] * 2
    assert await world.dead_letters() == []


async def test_a_refund_whose_event_is_late_counts_once_the_transaction_is_verified(world: World, story: Story):
    await story.begin()
    event = story.completed()
    late = story.refunded(event, 25_000)
    await world.tell(event)
    await world.verify()
    assert [(row.status, row.amount_wei) for row in await world.rewards()] == [("queued", 15 * 10**18)] * 2
    await world.tell(late)
    await world.verify()
    assert [(row.status, row.amount_wei) for row in await world.rewards()] == [("queued", 15 * 10**18)] * 2
    await world.check_ledger()


async def test_a_reward_is_queued_only_when_jobs_has_answered_after_the_refund_window(world: World, story: Story):
    """Within the window the whole fee goes back: a refund whose event comes after it must still stop the reward."""
    await world.tell(parameters(6, reward_hold_seconds=3_600))
    await story.begin()
    event = await story.pay(parameters_version=6)
    assert {row.reason for row in await world.rewards()} == {"refund_window"}
    story.refunded(event, 100_000)  # jobs has it, its event is still on the way
    await world.execute("UPDATE rewards SET hold_ends_at = clock_timestamp(), check_at = clock_timestamp()")
    await workers.review_due(world.context)
    assert {(row.status, row.reason) for row in await world.rewards()} == {("held", "unverified")}
    await world.execute("UPDATE transactions SET verify_at = clock_timestamp()")
    await world.verify()
    assert {(row.status, row.reason) for row in await world.rewards()} == {("cancelled", "zero_amount")}


async def test_a_transaction_is_asked_about_again_when_its_refund_window_is_over(world: World, story: Story):
    await world.tell(parameters(6, reward_hold_seconds=3_600))
    await story.begin()
    event = await story.pay(parameters_version=6)
    recorded = await world.transaction(event.transaction_id)
    assert recorded.verification == "pending"
    assert recorded.verify_at >= event.completed_at + timedelta(hours=1)


@pytest.mark.parametrize("forged_by", ["unreferred", "unknown", "another_version"])
async def test_a_forged_transaction_that_earns_nothing_does_not_keep_the_true_one_out(
    world: World, story: Story, forged_by: str
):
    """It is never verified for its own sake: it has no rewards, or waits for facts that never come."""
    await story.begin()
    nobody = new_id()
    if forged_by == "unreferred":
        await world.tell(story.member(nobody, None))
    true = story.completed()
    changes = (
        {"parameters_version": 99} if forged_by == "another_version" else {"client_id": nobody, "talent_id": nobody}
    )
    envelope = await world.tell(true.model_copy(update=changes))
    await world.tell(true)
    await world.verify()
    found = await world.rewards(true.transaction_id)
    assert [(row.status, row.amount_wei) for row in found] == [("queued", TWENTY)] * 2
    assert (str(envelope.id), UNCONFIRMED) in await world.dead_letters()
    await world.check_ledger()


async def test_the_truth_is_paid_although_its_parties_become_known_later(world: World, story: Story):
    await story.begin()
    true = story.completed(client_id=new_id())
    await world.tell(true.model_copy(update={"client_id": story.client}))
    await world.verify()
    assert (await world.transaction(true.transaction_id)).status == "waiting"
    await world.tell(story.member(true.client_id, story.client_connector))
    await world.verify()
    found = [row for row in await world.rewards(true.transaction_id) if row.source_kind == "transaction"]
    assert [(row.status, row.amount_wei) for row in found] == [("queued", TWENTY)] * 2


async def test_altering_a_sandbox_payment_does_not_pay_it_off_the_local_chain(world: World, story: Story):
    await story.begin()
    world.context.settings.chain_id = 1
    true = story.completed()
    await world.tell(true.model_copy(update={"provider": "stripe"}))
    await world.verify()
    assert {row.status for row in await world.rewards(true.transaction_id)} == {"cancelled"}


async def test_what_the_chain_has_paid_is_not_cancelled_when_jobs_has_forgotten_it(paid: PaidWorld, paid_story: Story):
    """Both databases restored: the settlement is read back, jobs answers 404, the books still say what happened."""
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.payout()
    await paid.execute("UPDATE transactions SET verification = 'pending', verify_at = clock_timestamp()")
    del paid.neighbours.transactions[str(event.transaction_id)]
    await paid.verify()
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("minted", TWENTY)}
    assert [reason for _, reason in await paid.dead_letters()] == [UNCONFIRMED]
    await paid.check_invariants(paid_story)
