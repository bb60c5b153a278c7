"""What the chain does to a lane: reorganisations, nonces taken, blocks forgotten, another chain, two managers."""

import asyncio
from pathlib import Path

import pytest

from chassis.chain.client import ChainClient
from chassis.chain.errors import ChainError, KeyRefused, LeaseLost
from chassis.chain.intents import IntentState, advance_lane, lane_status
from chassis.chain.keys import MemoryKey
from chassis.chain.lane_run import acquire_lease
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import IntentSigner, allow
from chassis.chain.values import hex_text
from chassis.localchain import LocalChain
from tests.chassis.chain.chain_world import GWEI, PING, World, copy_rows, restore_rows, settle

pytestmark = pytest.mark.chain

CONFIRMED, FINAL, INCLUDED = IntentState.CONFIRMED, IntentState.FINAL, IntentState.INCLUDED
BROADCAST, RESERVED = IntentState.BROADCAST, IntentState.RESERVED


async def reorganise(world: World, depth: int) -> None:
    """Replace the newest blocks by empty ones: their transactions are gone, from the pool too."""
    await world.client.rpc.call("anvil_reorg", depth, [])


async def send_foreign(world: World, nonce: int, data: bytes = b"") -> None:
    """A transaction of the lane's key that the lane knows nothing of."""
    other = IntentSigner(world.key, chain_id=31337, allowed=allow(world.probe, "probe"), max_fee_per_gas_wei=500 * GWEI)
    from chassis.chain.fees import Fees

    calldata = data or world.probe.encode("probe", 2)
    signed = await other.sign(
        to=world.probe.address, calldata=calldata, nonce=nonce, gas_limit=100_000, fees=Fees(9 * GWEI, GWEI)
    )
    await world.client.rpc.call("eth_sendRawTransaction", hex_text(signed.raw))


async def test_a_reorganised_transaction_is_sent_again_with_the_same_bytes(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await world.reserve()
    await manager.tick()
    await world.mine()
    await manager.tick()
    assert await world.states() == [INCLUDED]
    was = (await world.rows())[0]
    await reorganise(world, 1)
    assert await world.client.receipt(was.transaction_hash) is None
    await manager.tick()
    assert world.heard.calls == [("included", 0), ("unconfirmed", 0)]
    await world.run_until(manager, FINAL)
    now = (await world.rows())[0]
    assert now.transaction_hash == was.transaction_hash, "no other bytes were signed"
    assert now.block_hash != was.block_hash
    assert await world.pings() == 1


async def test_a_confirmed_transaction_is_watched_until_it_is_final(world: World) -> None:
    manager = world.manager(confirmations=1)
    await manager.tick()
    await world.reserve()
    await manager.tick()
    await world.mine(2)
    await manager.tick()
    assert await world.states() == [CONFIRMED]
    await reorganise(world, 2)
    await manager.tick()
    assert world.heard.calls[-1] == ("unconfirmed", 0)
    await world.run_until(manager, FINAL)
    heard = [what for what, _ in world.heard.calls]
    assert heard == ["included", "confirmed", "unconfirmed", "included", "confirmed", "final"]
    assert await world.pings() == 1


async def test_a_transaction_that_moved_to_another_block_is_confirmed_again(world: World) -> None:
    manager = world.manager(confirmations=1)
    await manager.tick()
    await world.reserve()
    await manager.tick()
    raw = (await world.rows("attempts"))[0].raw
    await world.mine(2)
    await manager.tick()
    first = (await world.rows())[0]
    pair = [[hex_text(raw), 1]]
    await world.client.rpc.call("anvil_reorg", 2, pair)
    await manager.tick()
    second = (await world.rows())[0]
    assert second.block_hash != first.block_hash
    assert [what for what, _ in world.heard.calls[:4]] == ["included", "confirmed", "unconfirmed", "included"]
    await world.run_until(manager, FINAL)
    assert await world.pings() == 1


async def test_a_foreign_nonce_halts_the_lane_and_says_so(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await send_foreign(world, 0)
    await world.mine()
    await world.reserve()
    for _ in range(4):
        report = await manager.tick()
        await world.mine()
    assert report.halted is not None
    assert "nonce 0" in report.halted
    assert world.key.address in report.halted
    assert await world.states() == [IntentState.FOREIGN_NONCE]
    assert await world.pings() == 0


async def test_a_nonce_taken_in_front_of_a_sent_transaction_halts_too(world: World) -> None:
    manager = world.manager(rebroadcast_seconds=1000.0)
    await manager.tick()
    await world.reserve()
    await manager.tick()
    await world.client.rpc.call("anvil_dropTransaction", (await world.rows("attempts"))[0].hash)
    await send_foreign(world, 0)
    await world.mine()
    report = await manager.tick()
    assert report.halted is None, "one look can deceive"
    await world.mine(2)
    report = await manager.tick()
    assert report.halted is not None


async def test_a_restored_database_finds_its_own_forgotten_transaction(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await world.reserve()
    backup = await copy_rows(world, "intents")
    await world.run_until(manager, FINAL)
    sent = (await world.rows("attempts"))[0].hash
    async with world.database.unit_of_work() as session:
        await session.execute(world.tables.attempts.delete())
    await restore_rows(world, "intents", backup)
    assert await world.states() == [RESERVED]
    report = await world.run_until(manager, FINAL)
    assert report.halted is None
    assert (await world.rows())[0].transaction_hash == sent
    assert await world.pings() == 1, "it was not sent a second time"


async def test_a_restored_database_that_forgot_an_intent_says_so_and_can_be_advanced(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await world.reserve()
    await world.run_until(manager, FINAL)
    async with world.database.unit_of_work() as session:
        await session.execute(world.tables.attempts.delete())
        await session.execute(world.tables.intents.delete())
    report = await manager.tick()
    assert (report.chain_nonce, report.next_nonce) == (1, 0)
    async with world.database.unit_of_work() as session:
        await advance_lane(session, world.lane, 1)
    assert (await world.reserve()).nonce == 1
    await world.run_until(manager, FINAL)


async def test_two_managers_share_one_lane_by_lease(world: World) -> None:
    first, second = world.manager(lease_seconds=3.0), world.manager(lease_seconds=60.0)
    assert (await first.tick()).leader
    assert not (await second.tick()).leader
    await settle(3.1)
    assert (await second.tick()).leader
    assert not (await first.tick()).leader
    await second.close()
    assert (await first.tick()).leader
    await world.reserve()
    await world.run_until(first, FINAL)
    assert await world.pings() == 1


async def test_a_manager_that_lost_its_lease_writes_nothing(world: World) -> None:
    first, second = world.manager(lease_seconds=0.2), world.manager(lease_seconds=10)
    assert (await first.tick()).leader
    await settle(0.25)
    assert (await second.tick()).leader
    with pytest.raises(LeaseLost):
        async with first._run.fenced() as session:
            await session.execute(world.tables.intents.delete())
    assert await acquire_lease(first._run) is False


async def test_two_managers_at_once_send_every_call_once(world: World) -> None:
    first, second = world.manager(lease_seconds=0.05), world.manager(lease_seconds=0.05)
    await first.tick()
    for _ in range(6):
        await world.reserve()

    async def drive(manager: object) -> None:
        for _ in range(25):
            await manager.tick()  # type: ignore[attr-defined]
            await asyncio.sleep(0.03)

    async def mine() -> None:
        for _ in range(20):
            await world.mine()
            await asyncio.sleep(0.05)

    await asyncio.gather(drive(first), drive(second), mine())
    await world.run_until(first, *[FINAL] * 6, blocks=20)
    assert await world.pings() == 6
    for what in ("included", "confirmed", "final"):
        counts = [world.heard.calls.count((what, nonce)) for nonce in range(6)]
        assert all(count >= 1 for count in counts)
    assert [row.nonce for row in await world.rows()] == list(range(6))


async def test_another_chain_under_the_same_database_is_refused(world: World, tmp_path: Path) -> None:
    manager = world.manager()
    await manager.tick()
    await world.reserve()
    await settle(1.1)  # a node's block 0 carries the second of its start: two of one second share its hash
    async with LocalChain(tmp_path / "other", mine=False) as other:
        client = ChainClient(JsonRpc([other.url]))
        await client.rpc.call("anvil_setBalance", world.key.address, hex(10**21))
        stranger = world.manager(client=client)
        await manager.close()
        report = await stranger.tick()
        assert report.problem is not None
        assert "ChainMismatch" in report.problem
        assert "genesis_hash" in report.problem
        assert await world.rows("attempts") == []
        assert await client.transaction_count(world.key.address, "pending") == 0
        async with world.database.unit_of_work() as session:
            status = await lane_status(session, world.lane)
        assert status is not None
        assert status.problem == report.problem
        await stranger.close()
        await client.close()
    report = await manager.tick()
    assert report.problem is None


async def test_a_chain_restarted_empty_under_a_running_manager_is_refused(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await world.reserve()
    await world.run_until(manager, FINAL)
    await world.chain.kill()
    await settle(1.1)  # a genesis block's hash comes from its second
    for file in world.chain._folder.glob("anvil-state.*"):
        file.unlink()
    await world.chain.start()
    await world.reserve()
    for _ in range(2):
        report = await manager.tick()
        assert report.problem is not None
        assert "ChainMismatch" in report.problem
    assert (await world.states())[-1] == RESERVED
    assert len(await world.rows("attempts")) == 1


async def test_other_code_at_the_same_address_is_refused(world: World) -> None:
    await world.manager().tick()
    await world.client.rpc.call("anvil_setCode", world.probe.address, "0x00")
    fresh = world.manager()
    await world.reserve()
    report = await fresh.tick()
    assert not report.leader
    async with world.database.unit_of_work() as session:
        lanes = world.tables.lanes
        await session.execute(lanes.update().values(lease_owner=None))
    report = await fresh.tick()
    assert report.problem is not None
    assert "code:" in report.problem
    assert await world.states() == [RESERVED]


async def test_a_contract_that_is_not_there_is_refused_at_first_use(world: World) -> None:
    await world.client.rpc.call("anvil_setCode", world.probe.address, "0x")
    report = await world.manager().tick()
    assert report.problem is not None
    assert "no contract code at probe" in report.problem
    assert await world.rows("lanes") == []
    assert await world.rows("pins") == []


async def test_a_lane_belongs_to_one_key(world: World) -> None:
    manager = world.manager()
    await manager.tick()
    await manager.close()
    other = IntentSigner(MemoryKey(b"\x07" * 32), chain_id=31337, allowed=[], max_fee_per_gas_wei=500 * GWEI)
    report = await world.manager(signer=other).tick()
    assert report.problem is not None
    assert "address" in report.problem


async def test_the_signer_and_the_node_must_agree_on_the_chain(world: World) -> None:
    report = await world.manager(signer=world.signer(chain_id=10)).tick()
    assert report.problem is not None
    assert "the signer for 10" in report.problem


def test_a_published_key_signs_on_the_local_chain_only() -> None:
    known = MemoryKey(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
    IntentSigner(known, chain_id=31337, allowed=[], max_fee_per_gas_wei=1)
    for chain_id in (1, 10, 1337, 11155111):
        with pytest.raises(KeyRefused, match="development key"):
            IntentSigner(known, chain_id=chain_id, allowed=[], max_fee_per_gas_wei=1)
    assert issubclass(KeyRefused, ChainError)


async def test_a_killed_chain_that_lost_final_blocks_gets_the_stored_bytes_again(world: World) -> None:
    manager = world.manager(replace_after_seconds=2.0)
    await manager.tick()
    await world.chain.saved()
    saved_state = world.chain.state_file.read_bytes()
    await world.reserve()
    await world.reserve()
    await world.run_until(manager, FINAL, FINAL)
    await world.chain.kill()
    world.chain.state_file.write_bytes(saved_state)  # the blocks since then had not reached the disk
    await world.chain.start()
    assert await world.client.transaction_count(world.key.address) == 0
    hashes = {row.hash for row in await world.rows("attempts")}
    before = len(world.heard.calls)
    await manager.tick()
    assert sorted(world.heard.calls[before:]) == [("unconfirmed", 0), ("unconfirmed", 1)]
    await world.run_until(manager, FINAL, FINAL)
    assert {row.hash for row in await world.rows("attempts")} == hashes
    assert await world.pings() == 2


async def test_a_shortened_chain_that_is_not_local_halts(world: World) -> None:
    """Only the local node may forget what was final."""
    from chassis.chain.lane_run import look
    from chassis.chain.pins import ChainIdentity
    from chassis.chain.tx_trouble import check_lost_tail

    manager = world.manager()
    await manager.tick()
    await world.reserve(PING)
    await world.run_until(manager, FINAL)
    seen = await look(manager._run)
    from dataclasses import replace

    forgot = replace(seen, chain_nonce=0, identity=ChainIdentity(1, seen.identity.genesis_hash))
    assert await check_lost_tail(manager._run, forgot)
    report = await manager.tick()
    assert report.halted is not None
    assert "forgotten final transactions" in report.halted
    assert await world.states() == [FINAL]
