"""Attacks on the service and its contracts, each refused, or bounded as it says. docs/attacks.md has the list."""

import pytest
from eth_account import Account
from sqlalchemy import func, select

from chassis.chain.values import hex_text
from chassis.ids import new_id
from services.rewards import models
from services.rewards.domain.planning import gas_limit, pack_word
from tests.rewards.chain_world import PaidWorld
from tests.rewards.test_payout_corners import send_as
from tests.rewards.world import Story, World, parameters

TWENTY = 20 * 10**18
BTRST = 10**18


@pytest.mark.chain
async def test_pay_mint_refund_again_and_again_mints_once(paid: PaidWorld, paid_story: Story) -> None:
    """The same members: what the first refund leaves as a debt takes every later reward."""
    await paid_story.begin()
    for cycle in range(4):
        event = await paid_story.pay()
        if cycle == 0:
            await paid.payout()
        else:
            await paid.settle()
            await paid.follow()
        await paid_story.refund(event, 100_000)
        balances = [await paid.network.balance(address) for address in paid_story.wallets.values()]
        assert balances == [TWENTY, TWENTY], f"after {cycle + 1} cycles"
    await paid.check_invariants(paid_story)


@pytest.mark.chain
async def test_within_the_refund_window_nothing_is_minted_at_all(paid: PaidWorld, paid_story: Story) -> None:
    await paid.tell(parameters(5, reward_hold_seconds=600))
    await paid_story.begin()
    event = await paid_story.pay(parameters_version=5)
    assert not await paid.settle()
    await paid_story.refund(event, 100_000)
    assert not await paid.settle()
    assert {row.status for row in await paid.rewards()} == {"cancelled"}
    assert [await paid.network.balance(address) for address in paid_story.wallets.values()] == [0, 0]


async def test_a_fee_of_zero_earns_nobody_anything(world: World, story: Story) -> None:
    await story.begin()
    event = await story.pay(client_fee_cents=0)
    assert {(row.amount_wei, row.status) for row in await world.rewards(event.transaction_id)} <= {(0, "cancelled")}
    await world.check_ledger()


@pytest.mark.chain
async def test_a_stolen_signer_key_mints_the_bucket_and_no_more_until_the_guardian_pauses(paid: PaidWorld) -> None:
    """Whoever has the key signs what they like: the contract says how much, the guardian how long."""
    network, rpc = paid.network, paid.network.client.rpc
    minter, thief = network.contracts.minter, Account.create().address
    signer = Account.from_key(network.keys["signer"]).address
    capacity = await network.client.read(minter, "capacityWei")
    refill = await network.client.read(minter, "refillWeiPerSecond")
    started = await _now(paid)
    await rpc.call("anvil_impersonateAccount", signer)

    async def settle(amount: int) -> bool:
        first = await network.client.read(minter, "nextId")
        data = minter.encode("settle", first, new_id().bytes, b"\x01" * 32, [pack_word(thief, amount)])
        call = {"from": signer, "to": minter.address, "data": hex_text(data), "gas": hex(gas_limit(1, 1))}
        sent = await rpc.call("eth_sendTransaction", call)
        await network.mine()
        receipt = await network.client.receipt(sent)
        return receipt is not None and receipt.status == 1

    tries = [await settle(amount) for amount in (capacity // 2, capacity // 2, capacity // 2, capacity // 4, 10**18)]
    assert tries[:3] == [True, True, False]
    passed = await _now(paid) - started
    assert await network.balance(thief) <= capacity + refill * passed
    guardian = Account.from_key(network.keys["guardian"]).address
    await send_as(paid, guardian, minter, minter.encode("pause", await _now(paid) + 14 * 86_400))
    assert not await settle(1)
    stolen = await network.balance(thief)
    await rpc.call("evm_increaseTime", 86_400)  # the bucket would be full again
    assert not await settle(1)
    assert await network.balance(thief) == stolen


@pytest.mark.chain
@pytest.mark.parametrize("wallets", [100, pytest.param(1_000, marks=pytest.mark.long)])
async def test_dust_to_a_thousand_wallets_costs_the_network_no_gas(
    paid: PaidWorld, paid_story: Story, wallets: int
) -> None:
    """A minimum is voted: connectors with a cent's worth each keep nobody waiting and cause no chain tx."""
    await paid.tell(parameters(5, min_payout_wei=BTRST))
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    before = await paid.rows(select(func.count()).select_from(models.settlements))
    for _ in range(wallets // 2):
        client, talent, *connectors = (new_id() for _ in range(4))
        for member, connector in zip((client, talent), connectors, strict=True):
            await paid.tell(paid_story.member(member, connector))
            wallet = "0x" + new_id().bytes.hex() + "00000001"
            await paid.tell(paid_story.wallet(connector, wallet))
        await paid.tell(paid_story.completed(client_id=client, talent_id=talent, amount_cents=100, client_fee_cents=10))
    while not await _all_verified(paid):
        await paid.verify()
    dust = [row for row in await paid.rewards() if row.amount_wei < BTRST]
    assert len(dust) == wallets
    assert {(row.status, row.reason) for row in dust} == {("held", "below_minimum")}
    assert not await paid.settle()
    assert await paid.rows(select(func.count()).select_from(models.settlements)) == before
    event = await paid_story.pay()
    await paid.payout()
    assert {row.status for row in await paid.rewards(event.transaction_id)} == {"minted"}
    await paid.check_ledger()


async def _now(paid: PaidWorld) -> int:
    block = await paid.network.client.block()
    assert block is not None
    return block.timestamp


async def _all_verified(paid: PaidWorld) -> bool:
    return not any(row.reason == "unverified" for row in await paid.rewards())


@pytest.mark.chain
async def test_delegating_recipients_make_a_settlement_dear_and_never_fail(paid: PaidWorld, paid_story: Story) -> None:
    """Each recipient is new and delegated to an account of its own, which is what costs most to mint to."""
    await paid_story.begin(wallets=False)
    members = []
    token = paid.network.contracts.token
    for number in range(1, 21):
        client, connector, holder = new_id(), new_id(), Account.create().address
        await send_as(paid, holder, token, token.encode("delegate", "0x" + number.to_bytes(20, "big").hex()))
        await paid.tell(paid_story.member(client, connector))
        await paid.tell(paid_story.wallet(connector, holder))
        members.append((client, holder))
    for client, _ in members:
        await paid.tell(paid_story.completed(client_id=client, talent_id=paid_story.talent))
    await paid.verify()
    await paid.payout()
    assert [await paid.network.balance(holder) for _, holder in members] == [TWENTY] * 20
    (intent,) = await paid.rows(select(models.chain.intents))
    assert 20 * 70_000 < intent.gas_used <= intent.gas_limit <= gas_limit(20, 20), (
        "dear, and within what was allowed for"
    )
