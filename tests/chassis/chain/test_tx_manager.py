"""One lane on a real node: from reserved to final, and everything that can come in between."""

import asyncio

import pytest

from chassis.chain.client import ChainClient
from chassis.chain.errors import LaneFull, LaneHalted, LaneNotOpen
from chassis.chain.intents import IntentState, halt_lane, lane_status, reserve, resume_lane
from chassis.chain.tx_manager import TxManager
from tests.chassis.chain.chain_world import BURN, GWEI, PING, REFUSE, SILENT, DeafRpc, World

pytestmark = pytest.mark.chain

CONFIRMED, FINAL, INCLUDED = IntentState.CONFIRMED, IntentState.FINAL, IntentState.INCLUDED
BROADCAST, RESERVED, REVERTED = IntentState.BROADCAST, IntentState.RESERVED, IntentState.REVERTED


async def opened(world: World, **settings: object) -> TxManager:
    manager = world.manager(**settings)
    report = await manager.tick()
    assert report.leader
    assert report.problem is None
    return manager


async def test_nothing_is_reserved_before_the_lane_has_seen_the_chain(world: World) -> None:
    with pytest.raises(LaneNotOpen):
        await world.reserve()


async def test_two_calls_go_from_reserved_to_final(world: World) -> None:
    manager = await opened(world)
    first, second = await world.reserve(), await world.reserve()
    assert (first.nonce, second.nonce, first.state) == (0, 1, RESERVED)
    await manager.tick()
    assert await world.states() == [BROADCAST, BROADCAST]
    await world.mine()
    await manager.tick()
    assert await world.states() == [INCLUDED, INCLUDED]
    await world.mine()
    await manager.tick()
    assert await world.states() == [INCLUDED, INCLUDED], "one block on top is not two"
    await world.mine()
    await manager.tick()
    assert (await world.states())[0] in {CONFIRMED, FINAL}
    await world.run_until(manager, FINAL, FINAL)
    for nonce in (0, 1):
        heard = [what for what, of in world.heard.calls if of == nonce]
        assert heard == ["included", "confirmed", "final"]
    assert await world.pings() == 2
    assert await world.in_flight() == []


async def test_a_first_nonce_comes_from_the_chain_and_later_ones_from_the_database(world: World) -> None:
    await world.client.rpc.call("anvil_setNonce", world.key.address, hex(41))
    manager = await opened(world)
    assert (await world.reserve()).nonce == 41
    assert (await world.reserve()).nonce == 42
    await world.run_until(manager, FINAL, FINAL)


async def test_a_lost_answer_is_not_a_lost_transaction(world: World) -> None:
    rpc = DeafRpc([world.chain.url])
    manager = world.manager(client=ChainClient(rpc))
    await manager.tick()
    await world.reserve()
    report = await manager.tick()
    assert rpc.lost == 1
    assert report.problem is not None
    assert "the answer was lost" in report.problem
    await world.run_until(manager, FINAL)
    assert len(await world.rows("attempts")) == 1
    assert await world.pings() == 1
    await rpc.close()


async def test_at_most_sixteen_wait(world: World) -> None:
    manager = await opened(world)
    for _ in range(16):
        await world.reserve()
    with pytest.raises(LaneFull):
        await world.reserve()
    await world.run_until(manager, *[FINAL] * 16)
    assert (await world.reserve()).nonce == 16


async def test_reserves_at_the_same_time_get_a_nonce_each(world: World) -> None:
    manager = await opened(world)
    reserved = await asyncio.gather(*(world.reserve() for _ in range(10)))
    assert sorted(intent.nonce for intent in reserved) == list(range(10))
    await world.run_until(manager, *[FINAL] * 10)


async def test_a_reserve_that_is_rolled_back_leaves_no_gap(world: World) -> None:
    manager = await opened(world)

    async def change_of_mind() -> None:
        async with world.database.unit_of_work() as session:
            call = {"to": world.probe.address, "calldata": world.probe.encode("probe", PING)}
            await reserve(session, lane=world.lane, gas_limit=100_000, reference="r", **call)
            raise RuntimeError("not after all")

    with pytest.raises(RuntimeError, match="after all"):
        await change_of_mind()
    assert (await world.reserve()).nonce == 0
    await world.run_until(manager, FINAL)


async def test_a_replacement_bids_exactly_an_eighth_more_in_a_quiet_market(world: World) -> None:
    manager = await opened(world, replace_after_seconds=0.0, rebroadcast_seconds=1000.0)
    await world.reserve()
    await manager.tick()
    first = (await world.rows("attempts"))[0]
    await world.client.rpc.call("anvil_dropTransaction", first.hash)
    await world.mine()
    await manager.tick()
    second = (await world.rows("attempts"))[1]
    assert second.max_fee_per_gas_wei == -(-first.max_fee_per_gas_wei * 1125 // 1000)
    assert second.max_priority_fee_per_gas_wei == -(-first.max_priority_fee_per_gas_wei * 1125 // 1000)
    sent = await world.client.transaction(second.hash)
    assert sent is not None
    assert int(sent["maxFeePerGas"], 16) == second.max_fee_per_gas_wei
    assert (int(sent["nonce"], 16), sent["input"]) == (0, "0x" + world.probe.encode("probe", PING).hex())
    await world.run_until(manager, FINAL)
    assert await world.pings() == 1


async def test_a_replacement_follows_the_market_when_that_has_risen_more(world: World) -> None:
    manager = await opened(world, replace_after_seconds=0.0)
    await world.reserve()
    await manager.tick()
    # From now on every block costs more than the first bid offers.
    first = (await world.rows("attempts"))[0]
    dear = first.max_fee_per_gas_wei + 1
    await world.client.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(dear))
    report = await manager.tick()
    assert len(await world.rows("attempts")) == 1, "no block has passed it by yet"
    await world.mine()
    await manager.tick()
    attempts = await world.rows("attempts")
    assert len(attempts) == 2
    market = 2 * dear + attempts[0].max_priority_fee_per_gas_wei
    assert attempts[1].max_fee_per_gas_wei == max(-(-attempts[0].max_fee_per_gas_wei * 9 // 8), market)
    assert attempts[1].max_priority_fee_per_gas_wei == -(-attempts[0].max_priority_fee_per_gas_wei * 9 // 8)
    report = await world.run_until(manager, FINAL)
    row = (await world.rows())[0]
    assert row.transaction_hash == attempts[1].hash
    assert report.alarm is None
    assert await world.pings() == 1


async def test_no_bid_passes_the_ceiling_and_the_alarm_says_so(world: World) -> None:
    manager = await opened(world, replace_after_seconds=0.0, max_fee_per_gas_wei=3 * GWEI)
    await world.reserve()
    await manager.tick()
    bids = [(await world.rows("attempts"))[0].max_fee_per_gas_wei]
    for _ in range(12):
        await world.client.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
        await world.mine()
        report = await manager.tick()
        bids = [row.max_fee_per_gas_wei for row in await world.rows("attempts")]
    assert max(bids) <= 3 * GWEI
    assert report.alarm is not None
    assert "ceiling" in report.alarm
    async with world.database.unit_of_work() as session:
        status = await lane_status(session, world.lane)
    assert status is not None
    assert status.alarm == report.alarm


async def test_after_twelve_attempts_there_is_an_alarm_and_no_thirteenth(world: World) -> None:
    manager = await opened(world, replace_after_seconds=0.0, market_multiple=1000, max_attempts=3)
    await world.reserve()
    await manager.tick()
    for _ in range(6):
        top = (await world.rows("attempts"))[-1].max_fee_per_gas_wei
        await world.client.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(top + 1))
        await world.mine()
        report = await manager.tick()
    assert len(await world.rows("attempts")) == 3
    assert report.alarm is not None
    assert "3 attempts" in report.alarm


async def test_the_daily_gas_budget_holds_signing_back(world: World) -> None:
    manager = await opened(world, daily_budget_wei=1)
    await world.reserve()
    report = await manager.tick()
    assert await world.states() == [RESERVED]
    assert report.alarm is not None
    assert "budget" in report.alarm


@pytest.mark.parametrize(
    ("mode", "code", "data"),
    [(REFUSE, "reverted", "Refused"), (BURN, "out_of_gas", None), (SILENT, "log_missing", None)],
)
async def test_a_transaction_that_did_nothing_fails_only_when_deep(
    world: World, mode: int, code: str, data: str | None
) -> None:
    manager = await opened(world)
    await world.reserve(mode)
    await manager.tick()
    await world.mine()
    await manager.tick()
    assert await world.states() == [BROADCAST]
    assert world.heard.calls == []
    await world.mine(2)
    await manager.tick()
    assert await world.states() == [REVERTED]
    assert world.heard.calls == [("failed", 0)]
    failure = world.heard.failures[0]
    assert failure.code == code
    if data is not None:
        assert world.probe.decode_error(failure.data) == (data, {})
    await world.mine(4)
    await manager.tick()
    assert await world.in_flight() == []


async def test_a_call_to_an_address_without_code_is_not_included(world: World) -> None:
    manager = await opened(world)
    # The contract vanishes after the pins were checked: the call then succeeds, and does nothing.
    await world.client.rpc.call("anvil_setCode", world.probe.address, "0x")
    await world.reserve(PING)
    await manager.tick()
    await world.mine()
    await manager.tick()
    row = (await world.rows())[0]
    receipt = await world.client.receipt((await world.rows("attempts"))[0].hash)
    assert receipt is not None
    assert receipt.status == 1
    assert row.state == BROADCAST
    await world.mine(2)
    await manager.tick()
    assert world.heard.failures[0].code == "log_missing"
    assert ("included", 0) not in world.heard.calls


async def test_a_failed_callback_undoes_its_own_change_and_is_tried_again(world: World) -> None:
    manager = await opened(world)
    await world.reserve()
    await world.reserve()
    broken = [True]
    inner = manager._run.callbacks.on_included

    async def on_included(session, intent, receipt):  # type: ignore[no-untyped-def]
        if broken[0] and intent.nonce == 0:
            raise ValueError("the service is not ready")
        await inner(session, intent, receipt)

    object.__setattr__(manager._run.callbacks, "on_included", on_included)
    await manager.tick()
    await world.mine()
    report = await manager.tick()
    assert await world.states() == [BROADCAST, INCLUDED]
    assert report.problem is not None
    assert "the service is not ready" in report.problem
    broken[0] = False
    await world.run_until(manager, FINAL, FINAL)


async def test_a_halted_lane_reserves_and_signs_nothing_until_resumed(world: World) -> None:
    manager = await opened(world)
    await world.reserve()
    async with world.database.unit_of_work() as session:
        await halt_lane(session, world.lane, "the ledger and the chain differ")
    report = await manager.tick()
    assert report.halted == "the ledger and the chain differ"
    assert await world.states() == [RESERVED]
    with pytest.raises(LaneHalted, match="differ"):
        await world.reserve()
    async with world.database.unit_of_work() as session:
        await resume_lane(session, world.lane)
    await world.run_until(manager, FINAL)


async def test_a_call_the_signer_does_not_know_halts_the_lane(world: World) -> None:
    manager = await opened(world)
    await world.reserve(calldata=b"\xde\xad\xbe\xef", expected_log=None)
    await manager.tick()
    report = await manager.tick()
    assert report.halted is not None
    assert "refused by the signer" in report.halted
    assert await world.rows("attempts") == []


async def test_a_node_that_is_away_delays_and_loses_nothing(world: World) -> None:
    manager = await opened(world)
    await world.reserve()
    await world.chain.stop()
    report = await manager.tick()
    assert report.problem is not None
    assert "RpcUnavailable" in report.problem
    assert await world.states() == [RESERVED]
    await world.chain.start()
    await world.run_until(manager, FINAL)
    report = await manager.tick()
    assert report.problem is None
    assert await world.pings() == 1
