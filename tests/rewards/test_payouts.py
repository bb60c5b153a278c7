"""From a completed transaction to BTRST in wallets, on a real node: exact, once, whatever is interrupted."""

import os
from collections.abc import Awaitable, Callable

import pytest
from eth_account import Account
from sqlalchemy import select

from chassis.chain.values import hex_text
from chassis.testing import eventually
from services.rewards import models, workers
from services.rewards.domain.leaves import verify_path
from services.rewards.service import proofs
from tests.rewards.chain_world import PaidWorld
from tests.rewards.world import PRICE, Story, parameters

pytestmark = pytest.mark.chain
TWENTY = 20 * 10**18
MINTED = "rewards.reward.minted.v1"


async def test_both_sides_of_a_transaction_are_settled_in_one_chain_tx(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    completed = await paid_story.pay()
    assert await paid.settle()
    await paid.follow()
    assert {row.status for row in await paid.rewards()} == {"submitted"}
    await paid.network.mine()
    await paid.follow()
    found = await paid.rewards(completed.transaction_id)
    assert {row.status for row in found} == {"submitted"}
    assert await paid.published(MINTED) == []
    await paid.network.mine(2)
    await paid.follow()
    found = await paid.rewards(completed.transaction_id)
    assert [(row.status, row.seq, row.minted_wei) for row in sorted(found, key=lambda row: row.seq)] == [
        ("minted", 1, TWENTY),
        ("minted", 2, TWENTY),
    ]
    assert len({row.chain_tx_hash for row in found}) == 1
    for address in paid_story.wallets.values():
        assert await paid.network.balance(address) == TWENTY
    told = await paid.published(MINTED)
    assert {event["reward_id"] for event in told} == {str(row.id) for row in found}
    assert {event["block_number"] for event in told} == {found[0].block_number}
    assert await paid.lines(paid_story.client_connector) == [("accrual", TWENTY), ("mint", TWENTY)]
    await paid.check_invariants(paid_story)


async def test_the_proof_of_a_minted_reward_leads_to_the_root_in_the_log(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    for _ in range(3):
        await paid_story.pay()
    await paid.payout()
    await paid.check_invariants(paid_story)
    (log,) = await paid.rows(select(models.settled_logs))
    for row in await paid.rewards():
        async with paid.context.database.unit_of_work() as session:
            proof = await proofs.prove_reward(session, reward_id=row.id)
        assert proof.root == bytes(log.leaves_root)
        assert verify_path(proof.line.hash, proof.path, proof.root)
        assert (proof.line.leaf.seq, proof.line.leaf.amount_wei) == (row.seq, row.amount_wei)
    assert log.reward_count == 6
    assert log.sum_wei == 6 * TWENTY


async def test_a_refund_after_the_mint_is_set_off_against_the_next_reward(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    first = await paid_story.pay()
    await paid.payout()
    await paid_story.refund(first, 25_000)
    member = paid_story.client_connector
    assert (await paid.lines(member))[-1] == ("refund", -5 * 10**18)
    await paid.check_invariants(paid_story)
    second = await paid_story.pay()
    await paid.payout()
    (after, _) = await paid.rewards(second.transaction_id)
    assert (after.amount_wei, after.offset_wei, after.minted_wei) == (TWENTY, 5 * 10**18, 15 * 10**18)
    assert (await paid.lines(member))[-2:] == [("offset", -5 * 10**18), ("mint", 15 * 10**18)]
    assert await paid.network.balance(paid_story.wallets[member]) == 35 * 10**18
    async with paid.context.database.unit_of_work() as session:
        proof = await proofs.prove_reward(session, reward_id=after.id)
    assert proof.offset is not None
    assert proof.offset.leaf.amount_wei == -5 * 10**18
    assert verify_path(proof.offset.hash, proof.offset_path, proof.root)
    await paid.check_invariants(paid_story)


async def test_a_full_refund_after_the_mint_reverses_and_the_next_reward_is_used_up(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    first = await paid_story.pay()
    await paid.payout()
    await paid_story.refund(first, 60_000)
    assert {row.status for row in await paid.rewards(first.transaction_id)} == {"minted"}
    await paid_story.refund(first, 40_000, before=60_000)
    assert {row.status for row in await paid.rewards(first.transaction_id)} == {"reversed"}
    assert len(await paid.published("rewards.reward.reversed.v1")) == 2
    second = await paid_story.pay()
    assert await paid.settle()
    used_up = await paid.rewards(second.transaction_id)
    assert {(row.status, row.offset_wei, row.minted_wei, row.seq) for row in used_up} == {("minted", TWENTY, 0, None)}
    third = await paid_story.pay()
    await paid.payout()
    assert {row.minted_wei for row in await paid.rewards(third.transaction_id)} == {TWENTY}
    await paid.check_invariants(paid_story)


async def test_a_refund_while_the_chain_tx_is_under_way_waits_for_the_next_reward(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    first = await paid_story.pay()
    await paid.settle()
    await paid_story.refund(first, 100_000)
    await paid.follow()
    await paid.network.mine(3)
    await paid.follow()
    assert {row.status for row in await paid.rewards()} == {"reversed"}
    assert {row.minted_wei for row in await paid.rewards()} == {TWENTY}
    await paid.check_invariants(paid_story)


async def test_a_reorganisation_takes_a_minted_reward_back_and_forth(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    (before, _) = await paid.rewards()
    await paid.network.client.rpc.call("anvil_reorg", 4, [])
    await paid.follow()
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("submitted", 0)}

    async def minted_again() -> bool:
        await paid.follow()
        await paid.network.mine()
        return {row.status for row in await paid.rewards()} == {"minted"}

    await eventually(minted_again, every=0.2)
    (after, _) = await paid.rewards()
    assert after.block_hash != before.block_hash
    member = paid_story.client_connector
    assert [code for code, _ in await paid.lines(after.beneficiary_id)] == ["accrual", "mint", "mint", "mint"]
    assert len(await paid.published(MINTED)) == 4
    assert await paid.network.balance(paid_story.wallets[member]) == TWENTY
    await paid.check_invariants(paid_story)


async def test_a_restart_between_any_two_steps_ends_in_the_same_balances(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    completed = paid_story.completed()

    async def tell() -> None:
        await paid.tell(completed)

    async def settle() -> None:
        await paid.settle()

    async def mine() -> None:
        await paid.network.mine()

    steps: list[Callable[[], Awaitable[None]]] = [
        tell,
        paid.verify,
        settle,
        paid.follow,
        mine,
        paid.follow,
        mine,
        mine,
        paid.follow,
        paid.reconcile,
    ]
    for step in steps:
        await step()
        await paid.restart()
        await settle()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    assert len(await paid.settled_statuses()) == 1
    await paid.check_invariants(paid_story)


@pytest.mark.parametrize("name", ["p6", "p7", "p8", "p9", "p12", "p14"])
async def test_killed_at_a_crash_point_it_ends_in_the_same_balances(
    paid: PaidWorld, paid_story: Story, monkeypatch: pytest.MonkeyPatch, name: str
):
    """The failpoint ends the unit of work like a kill: nothing after it happens, nothing before it is undone."""

    class Killed(BaseException):
        pass

    from chassis import failpoints

    def die(*_: object) -> None:
        raise Killed

    await paid_story.begin()
    await paid_story.pay()
    monkeypatch.setattr(os, "kill", die)
    failpoints.arm(name, allowed=True)
    hit = False
    for _ in range(4):
        try:
            await paid.settle()
            await paid.follow()
            await paid.network.mine(3)
            await paid.follow()
        except Killed:
            hit = True
            failpoints.arm("", allowed=True)
            await paid.restart()
    failpoints.arm("", allowed=True)
    monkeypatch.undo()
    assert hit, f"{name} was never reached"
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("minted", TWENTY)}
    await paid.check_invariants(paid_story)


async def test_a_failed_settlement_is_planned_anew_with_the_same_numbers(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    await paid_story.pay()
    await paid.settle()
    await paid.execute("UPDATE chain_intents SET gas_limit = 60000")
    second = await paid_story.pay()
    await paid.settle()
    await paid.follow()
    await paid.network.mine(3)
    await paid.follow()
    assert await paid.settled_statuses() == ["failed", "failed"]
    assert not await paid.settle()
    for _ in range(3):
        await paid.network.mine(3)
        await paid.follow()
        await paid.mend()
    assert await paid.settled_statuses() == ["freed", "freed"]
    await paid.payout()
    assert {row.minted_wei for row in await paid.rewards(second.transaction_id)} == {TWENTY}
    assert {row.status for row in await paid.rewards()} == {"minted"}
    await paid.check_invariants(paid_story)


async def test_a_reward_is_submitted_as_soon_as_its_chain_tx_exists(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    await paid_story.pay()
    await paid.settle()
    assert {row.status for row in await paid.rewards()} == {"queued"}
    await paid.follow()
    await paid.follow()
    assert {(row.status, row.block_number) for row in await paid.rewards()} == {("submitted", None)}
    await paid.network.mine(3)
    await paid.follow()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    steps = [row.step for row in await paid.rows(select(models.reward_steps).order_by(models.reward_steps.c.id))]
    assert steps.count("submitted") == 2
    await paid.check_invariants(paid_story)


async def test_refunds_around_a_failed_settlement_take_back_each_cent_once(paid: PaidWorld, paid_story: Story):
    """One while the chain tx is under way becomes a debt; the next, before the new one, cuts only what that left."""
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.settle()
    await paid.execute("UPDATE chain_intents SET gas_limit = 60000")
    await paid_story.refund(event, 25_000)
    for _ in range(5):
        await paid.follow()
        await paid.network.mine(3)
        await paid.mend()
    assert await paid.settled_statuses() == ["freed"]
    await paid_story.refund(event, 25_000, before=25_000)
    await paid.payout()
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("minted", TWENTY // 2)}
    await paid.check_invariants(paid_story)


async def test_a_restored_database_reads_back_what_it_has_forgotten(
    paid: PaidWorld, paid_story: Story, postgres_dsn: str
):
    """P16: the copy knows the members only; the events come again, the settlements are read from calldata."""
    await paid_story.begin()
    first = await paid_story.pay()
    await paid.payout()
    refund = await paid_story.refund(first, 25_000)
    second = await paid_story.pay()
    await paid.payout()
    ids = {row.id for row in await paid.rewards()}
    for table in ("ledger_postings", "rewards", "settlements", "payout_state", "transactions", "refunds"):
        trigger = "ALTER TABLE ledger_postings {} TRIGGER USER"
        await paid.execute(trigger.format("DISABLE"))
        await paid.execute(f"DELETE FROM {table}")
        await paid.execute(trigger.format("ENABLE"))
    await paid.execute("DELETE FROM chain_attempts")
    await paid.execute("DELETE FROM chain_intents")
    await paid.execute("UPDATE parties SET receivable_wei = 0")
    await paid.restart()
    await paid.network.mine(4)
    await paid.reconcile()
    await paid.follow()
    third = paid_story.completed()
    for event in (first, refund, second, third):
        await paid.tell(event)
    await paid.verify()
    assert not await paid.settle(), "nothing is reserved while the chain is ahead"
    for _ in range(3):
        await paid.mend()
        await paid.follow()
        await paid.reconcile()
    assert {row.id for row in await paid.rewards(first.transaction_id)} < ids
    assert {row.status for row in await paid.rewards(first.transaction_id)} == {"minted"}
    assert sorted(row.minted_wei for row in await paid.rewards(second.transaction_id)) == [15 * 10**18] * 2
    await paid.payout()
    assert {row.minted_wei for row in await paid.rewards(third.transaction_id)} == {TWENTY}
    assert await paid.network.balance(paid_story.wallets[paid_story.client_connector]) == 55 * 10**18


async def test_a_reward_without_room_in_the_budget_is_held_and_blocks_nothing(paid: PaidWorld, paid_story: Story):
    await paid.tell(parameters(1, epoch_budget_wei=45 * 10**18))
    await paid_story.begin()
    big = await paid_story.pay(amount_cents=300_000, client_fee_cents=30_000)
    small = await paid_story.pay()
    await paid.payout()
    assert {(row.status, row.reason) for row in await paid.rewards(big.transaction_id)} == {("held", "epoch_budget")}
    assert {row.status for row in await paid.rewards(small.transaction_id)} == {"minted"}
    assert not await paid.settle()
    await paid.tell(parameters(2))
    await paid.execute("UPDATE rewards SET check_at = clock_timestamp() WHERE check_at IS NOT NULL")
    await workers.review_due(paid.context)
    await paid.payout()
    assert {row.minted_wei for row in await paid.rewards(big.transaction_id)} == {3 * TWENTY}
    await paid.check_invariants(paid_story)


async def test_a_pause_is_over_when_the_chain_says_so_whatever_our_clock_says(paid: PaidWorld, paid_story: Story):
    """The chain's clock an hour ahead: a pause until then has lapsed there, and holds nothing here."""
    rpc, minter = paid.network.client.rpc, paid.network.contracts.minter
    await rpc.call("evm_increaseTime", 3_600)
    await paid.network.mine()
    newest = await paid.network.client.block()
    assert newest is not None
    guardian = Account.from_key(paid.network.keys["guardian"]).address
    await rpc.call("anvil_impersonateAccount", guardian)
    call = {"from": guardian, "to": minter.address, "data": hex_text(minter.encode("pause", newest.timestamp + 60))}
    await rpc.call("eth_sendTransaction", call)
    await paid.network.mine()
    await paid_story.begin()
    await paid_story.pay()
    assert await paid.settle(), "they are held"
    assert {(row.status, row.reason) for row in await paid.rewards()} == {("held", "paused")}
    await rpc.call("evm_increaseTime", 120)
    await paid.network.mine()
    await paid.execute("UPDATE rewards SET check_at = clock_timestamp()")
    await workers.review_due(paid.context)
    await paid.payout()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    await paid.check_invariants(paid_story)


async def test_a_node_that_is_away_delays_and_loses_nothing(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    await paid_story.pay()
    port = paid.network.node.port
    await paid.settle()
    await paid.network.node.stop()
    for _ in range(2):
        await workers.follow_chain(paid.context)
        paid.side.next_tick_at = 0.0
        await workers.reconcile_supply(paid.context)
        await paid_story.pay()
        assert not await paid.settle()
    await paid.network.node.start()
    assert paid.network.node.port == port
    await paid.follow()
    await paid.network.mine(3)
    await paid.follow()
    await paid.payout()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    assert len(await paid.rewards()) == 6
    await paid.check_invariants(paid_story)


async def test_a_difference_between_ledger_and_chain_stops_reserving(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    await paid.check_invariants(paid_story)
    await paid.execute("UPDATE settled_logs SET sum_wei = sum_wei + 1")
    await paid.reconcile()
    await paid_story.pay()
    assert not await paid.settle()
    state = await workers.readiness(paid.context)
    assert "differ" in state["payouts"]
    await paid.execute("UPDATE settled_logs SET sum_wei = sum_wei - 1")
    await paid.reconcile()
    await paid.payout()
    await paid.check_invariants(paid_story)
    assert paid.context.settings.fixed_price_usd_e8 == PRICE
