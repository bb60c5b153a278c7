"""Rare turns of the money path: another signer, a reorganisation behind a refund, a restored budget, a long pause."""

from datetime import timedelta

import pytest
from eth_account import Account
from sqlalchemy import select

from chassis.chain.abi import Contract
from chassis.chain.values import hex_text
from chassis.clock import utc_now
from chassis.testing import eventually
from services.rewards import models, workers
from services.rewards.domain.planning import Supply
from services.rewards.service import audit
from tests.rewards.chain_world import PaidWorld
from tests.rewards.world import Story, World

pytestmark = pytest.mark.chain
TWENTY = 20 * 10**18


async def send_as(paid: PaidWorld, sender: str, contract: Contract, data: bytes) -> None:
    """A chain tx of an account whose key we need not have, mined at once."""
    rpc = paid.network.client.rpc
    await rpc.call("anvil_impersonateAccount", sender)
    await rpc.call("anvil_setBalance", sender, hex(10**20))
    call = {"from": sender, "to": contract.address, "data": hex_text(data), "gas": hex(1_000_000)}
    sent = await rpc.call("eth_sendTransaction", call)
    await paid.network.mine()
    receipt = await paid.network.client.receipt(sent)
    assert receipt is not None
    assert receipt.status == 1


async def settle_elsewhere(paid: PaidWorld, calldata: bytes) -> None:
    """Another key becomes the minter's signer, settles, and ours is it again."""
    minter, timelock = paid.network.contracts.minter, paid.network.deployment["contracts"]["timelock"]
    ours, other = Account.from_key(paid.network.keys["signer"]).address, Account.create().address
    await send_as(paid, timelock, minter, minter.encode("setSigner", other))
    await send_as(paid, other, minter, calldata)
    await send_as(paid, timelock, minter, minter.encode("setSigner", ours))


async def test_what_another_signer_settled_first_is_read_back_and_not_paid_again(paid: PaidWorld, paid_story: Story):
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.settle()
    (intent,) = await paid.rows(select(models.chain.intents))
    await settle_elsewhere(paid, bytes(intent.calldata))
    for _ in range(6):
        await paid.follow()
        await paid.network.mine(3)
        await paid.reconcile()
        await paid.mend()
    assert await paid.settled_statuses() == ["freed", "minted"]
    found = await paid.rewards(event.transaction_id)
    assert {(row.status, row.minted_wei) for row in found} == {("minted", TWENTY)}
    assert sorted(row.seq for row in found) == [1, 2]
    for address in paid_story.wallets.values():
        assert await paid.network.balance(address) == TWENTY
    await paid_story.pay()
    await paid.payout()
    await paid.check_invariants(paid_story)


async def test_a_reversed_reward_is_reversed_again_after_a_reorganisation(paid: PaidWorld, paid_story: Story):
    """Whoever follows the events ends at `reversed`, however often the chain tx is mined."""
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.payout()
    await paid_story.refund(event, 100_000)
    assert {row.status for row in await paid.rewards()} == {"reversed"}
    await paid.network.client.rpc.call("anvil_reorg", 4, [])
    await paid.follow()
    assert {row.minted_wei for row in await paid.rewards()} == {0}

    async def minted_again() -> bool:
        await paid.follow()
        await paid.network.mine()
        return {row.minted_wei for row in await paid.rewards()} == {TWENTY}

    await eventually(minted_again, seconds=60, every=0.2)
    assert {row.status for row in await paid.rewards()} == {"reversed"}
    table = models.metadata.tables["outbox"]
    told: dict[bytes, list[str]] = {}
    for row in await paid.rows(select(table).order_by(table.c.id)):
        if row.topic == "rewards.reward":
            told.setdefault(bytes(row.key), []).append(row.type.split(".")[2])
    assert {tuple(kinds[-4:]) for kinds in told.values()} == {("minted", "reversed", "minted", "reversed")}
    await paid.check_invariants(paid_story)


async def test_refunded_in_full_around_a_failed_settlement_it_is_reversed_without_a_chain_tx(
    paid: PaidWorld, paid_story: Story
):
    """The debt uses up the very reward it came from: nothing is left to mint, and it ends as any refunded reward."""
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.settle()
    await paid.execute("UPDATE chain_intents SET gas_limit = 60000")
    await paid_story.refund(event, 100_000)
    for _ in range(5):
        await paid.follow()
        await paid.network.mine(3)
        await paid.mend()
    assert await paid.settled_statuses() == ["freed"]
    assert await paid.settle()
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("reversed", 0)}
    assert len(await paid.published("rewards.reward.reversed.v1")) == 2
    await paid.check_invariants(paid_story)


async def test_a_freed_settlement_that_a_shortened_chain_carries_out_is_read_back(paid: PaidWorld, paid_story: Story):
    """The local node loses its newest blocks with a kill, and with them the reason why the settlement had failed.

    Until the indexer has noticed, it still has a log of the chain tx that had been mined, and now fails.
    """
    minter, rpc = paid.network.contracts.minter, paid.network.client.rpc
    guardian = Account.from_key(paid.network.keys["guardian"]).address
    await paid_story.begin()
    await paid_story.pay()
    await paid.settle()
    await paid.reconcile()
    await paid.network.mine(4)
    kept = await paid.network.client.block()
    assert kept is not None
    await send_as(paid, guardian, minter, minter.encode("pause", kept.timestamp + 600))

    async def freed(*before: str) -> bool:
        await paid.follow()
        await paid.network.mine(3)
        await paid.mend()
        return await paid.settled_statuses() == sorted([*before, "freed"])

    await eventually(freed, seconds=60, every=0.2)
    await rpc.call("evm_increaseTime", 600)
    await paid.network.mine()
    await paid_story.pay()
    await paid.payout()
    await paid.network.mine(6)
    await paid.follow()
    assert await paid.settled_statuses() == ["freed", "minted"]
    await paid.reconcile()
    newest = await paid.network.client.block()
    assert newest is not None
    await rpc.call("anvil_rollback", newest.number - kept.number)
    await eventually(lambda: freed("freed"), seconds=60, every=0.2)
    await paid.mend()
    assert {row.minted_wei for row in await paid.rewards()} == {0}

    async def all_minted() -> bool:
        await paid.reconcile()
        await paid.mend()
        await paid.settle()
        await paid.follow()
        await paid.network.mine(3)
        return {row.minted_wei for row in await paid.rewards()} == {TWENTY}

    await eventually(all_minted, seconds=60, every=0.2)
    assert await paid.settled_statuses() == ["freed", "freed", "minted", "minted"]
    assert {row.status for row in await paid.rewards()} == {"minted"}
    await paid.check_invariants(paid_story)


async def test_a_freed_settlement_that_a_shortened_chain_fails_again_stays_freed(paid: PaidWorld, paid_story: Story):
    """Its numbers are another settlement's by then: freed once more, they would be given twice."""
    await paid_story.begin()
    await paid_story.pay()
    kept = await paid.network.client.block()
    assert kept is not None
    await paid.settle()
    await paid.execute("UPDATE chain_intents SET gas_limit = 60000")

    async def freed() -> bool:
        await paid.follow()
        await paid.network.mine(3)
        await paid.mend()
        return await paid.settled_statuses() == ["freed"]

    await eventually(freed, seconds=60, every=0.2)
    await paid.payout()
    await paid.network.mine(6)
    await paid.follow()
    charged = await paid.rows(select(models.epochs))
    newest = await paid.network.client.block()
    assert newest is not None
    await paid.network.client.rpc.call("anvil_rollback", newest.number - kept.number)
    await paid.follow()
    assert {row.minted_wei for row in await paid.rewards()} == {0}

    async def settled() -> bool:
        await paid.follow()
        await paid.network.mine(3)
        await paid.mend()
        intents = await paid.rows(select(models.chain.intents))
        return all(intent.is_settled for intent in intents)

    await eventually(settled, seconds=60, every=0.2)
    assert await paid.settled_statuses() == ["freed", "minted"]
    assert {(row.status, row.minted_wei) for row in await paid.rewards()} == {("minted", TWENTY)}
    assert await paid.rows(select(models.epochs)) == charged
    await paid.check_invariants(paid_story)


async def test_what_is_read_back_is_charged_to_the_budget_of_its_time(paid: PaidWorld, paid_story: Story):
    """A restored database has forgotten the charge with the settlement: without it the budget would be spent twice."""
    await paid_story.begin()
    event = await paid_story.pay()
    await paid.payout()
    charged = await paid.rows(select(models.epochs))
    for table in (
        "rewards",
        "settlements",
        "payout_state",
        "transactions",
        "chain_attempts",
        "chain_intents",
        "epochs",
    ):
        await paid.execute(f"DELETE FROM {table}")
    await paid.execute("ALTER TABLE ledger_postings DISABLE TRIGGER USER")
    await paid.execute("DELETE FROM ledger_postings")
    await paid.execute("ALTER TABLE ledger_postings ENABLE TRIGGER USER")
    await paid.restart()
    await paid.network.mine(4)
    await paid.tell(event)
    await paid.verify()
    for _ in range(2):
        await paid.follow()
        await paid.reconcile()
        await paid.mend()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    assert await paid.rows(select(models.epochs)) == charged
    assert charged[0].charged_wei == 2 * TWENTY


async def test_a_long_pause_is_told_once_not_every_minute(paid: PaidWorld, paid_story: Story):
    minter = paid.network.contracts.minter
    newest = await paid.network.client.block()
    assert newest is not None
    guardian = Account.from_key(paid.network.keys["guardian"]).address
    await send_as(paid, guardian, minter, minter.encode("pause", newest.timestamp + 86_400))
    await paid_story.begin()
    await paid_story.pay()
    await paid.settle()
    for row in await paid.rewards():
        assert row.reason == "paused"
        assert timedelta(minutes=14) < row.check_at - utc_now() <= timedelta(minutes=15)


async def test_a_reward_above_what_the_minter_ever_mints_at_once_is_paid_after_a_vote_has_raised_that(
    paid: PaidWorld, paid_story: Story
):
    minter, timelock = paid.network.contracts.minter, paid.network.deployment["contracts"]["timelock"]
    await send_as(paid, timelock, minter, minter.encode("setLimits", TWENTY, 1))
    await paid_story.begin()
    await paid_story.pay()
    await paid.settle()
    for row in await paid.rewards():
        assert (row.status, row.reason) == ("held", "under_review")
        assert timedelta(minutes=59) < row.check_at - utc_now() <= timedelta(hours=1)
    await send_as(paid, timelock, minter, minter.encode("setLimits", 100 * TWENTY, 100 * TWENTY))
    await paid.network.client.rpc.call("evm_increaseTime", 10)  # in which the bucket fills
    await paid.network.mine(3)
    await paid.execute("UPDATE rewards SET check_at = clock_timestamp()")
    await workers.review_due(paid.context)
    await paid.payout()
    assert {row.status for row in await paid.rewards()} == {"minted"}
    await paid.check_invariants(paid_story)


async def test_an_address_is_one_however_it_is_written(paid: PaidWorld, paid_story: Story):
    """One recipient is one word of the settlement, which a restored database reads back by its address."""
    await paid_story.begin()
    member = paid_story.client_connector
    await paid.tell(paid_story.wallet(member, paid_story.wallets[member].lower()))
    await paid_story.pay()
    await paid.payout()
    assert {row.payout_address for row in await paid.rewards()} == set(paid_story.wallets.values())
    await paid.check_invariants(paid_story)


async def _put(world: World, block: int, *, onchain: int | None = None, ledger: int | None = None) -> None:
    if onchain is not None:
        await world.execute(
            "INSERT INTO settled_logs (first_id, reward_count, sum_wei, leaves_root, chain_tx_hash, block_number,"
            f" block_hash) VALUES ({block}, 1, {onchain}, '', '0x', {block}, '0x')"
        )
    if ledger is not None:
        sides = ((ledger, "minted", block), (-ledger, "payable", "NULL"))
        values = ",".join(
            f"('00000000-0000-7000-8000-{block:012d}', 'mint', '{account}', {wei}, gen_random_uuid(),"
            f" gen_random_uuid(), {at}, false, clock_timestamp())"
            for wei, account, at in sides
        )
        await world.execute(
            "INSERT INTO ledger_postings (entry_id, code, account, amount_wei, beneficiary_id, reward_id, block_number,"
            f" is_shown, created_at) VALUES {values}"
        )


async def test_the_audit_sums_the_newest_blocks_and_all_before_it_believes_a_difference(world: World):
    counted = audit.NOTHING

    async def compare(block: int) -> tuple[int, int]:
        nonlocal counted
        async with world.context.database.unit_of_work() as session:
            reached, counted = await audit.reconcile(
                session, final_block=block, counted=counted, supply=Supply(total_wei=0, cap_wei=1, remaining_wei=1)
            )
        assert reached == block
        (row,) = await world.rows(select(models.chain_figures))
        return row.onchain_minted_wei, row.ledger_minted_wei

    await _put(world, 10, onchain=5, ledger=5)
    await _put(world, 3_000, onchain=7, ledger=7)
    assert await compare(3_100) == (12, 12)
    assert counted == audit.Counted(3_100 - audit.RECOUNTED_BLOCKS, 5, 5)
    await _put(world, 3_200, onchain=1)
    assert await compare(3_300) == (13, 12), "a mint that the ledger lacks"
    assert counted == audit.NOTHING
    await _put(world, 3_200, ledger=1)
    assert await compare(9_000) == (13, 13)
    assert counted == audit.Counted(9_000 - audit.RECOUNTED_BLOCKS, 13, 13)
    assert await compare(100) == (5, 5), "a chain that went back is summed anew"
