"""kill -9 at every point of a transaction's way; another process then ends it, exactly once."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chassis.chain.intents import IntentState
from tests.chassis.chain.chain_world import BURN, PING, World, settle
from tests.chassis.chain.crash_worker import build, told_table

pytestmark = pytest.mark.chain

ROOT = Path(__file__).resolve().parents[3]


async def run_worker(options: dict[str, Any]) -> tuple[int, str]:
    """The worker's exit code and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chassis.chain.crash_worker",
        json.dumps(options),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def crash(world: World, failpoint: str, **more: Any) -> dict[str, Any]:
    """Drive the lane in a process that dies at the failpoint."""
    options = {
        "dsn": world.database.dsn,
        "url": world.chain.url,
        "probe": world.probe.address,
        "key": world.key._key.to_hex(),
        "failpoint": failpoint,
        "replace_after_seconds": 30.0,
        "mine": True,
    } | more
    code, errors = await run_worker(options)
    assert code == -signal.SIGKILL, f"{failpoint} did not kill the worker: {code} {errors}"
    return options


async def prepare(world: World, *modes: int) -> None:
    """A lane with reserved calls, and the table the callbacks write to."""
    opener = world.manager()
    await opener.tick()
    await opener.close()
    told_table(world.metadata)
    async with world.database.engine.begin() as connection:
        await connection.run_sync(world.metadata.create_all)
    for mode in modes:
        await world.reserve(mode)


async def finish(world: World, options: dict[str, Any], *wanted: IntentState) -> list[tuple[str, int]]:
    """What another process does with what the dead one left; what the service was told in all."""
    manager, client, metadata = build(world.database, options)
    await settle(0.6)  # the dead process's lease runs out
    await world.run_until(manager, *wanted, blocks=20)
    for _ in range(6):
        await world.mine()
        await manager.tick()
    await client.close()
    async with world.database.unit_of_work() as session:
        rows = await session.execute(select(metadata.tables["told"]))
        return sorted((row.what, row.nonce) for row in rows)


@pytest.mark.parametrize("failpoint", ["p7", "p8", "p9", "p12", "p14"])
async def test_a_crash_on_the_way_ends_in_exactly_one_transaction_each(world: World, failpoint: str) -> None:
    await prepare(world, PING, PING)
    options = await crash(world, failpoint)
    told = await finish(world, options, IntentState.FINAL, IntentState.FINAL)
    assert told == sorted((what, nonce) for what in ("included", "confirmed", "final") for nonce in (0, 1))
    assert await world.pings() == 2
    assert await world.client.transaction_count(world.key.address) == 2
    attempts = await world.rows("attempts")
    assert len(attempts) == 2, "nothing was signed twice once it was stored"


async def test_a_crash_after_storing_sends_the_stored_bytes(world: World) -> None:
    await prepare(world, PING)
    options = await crash(world, "p8")
    stored = (await world.rows("attempts"))[0]
    assert await world.states() == [IntentState.SIGNED]
    assert stored.sent_at is None
    assert await world.client.transaction(stored.hash) is None
    await finish(world, options, IntentState.FINAL)
    assert (await world.rows())[0].transaction_hash == stored.hash


async def test_a_crash_before_storing_has_sent_nothing(world: World) -> None:
    await prepare(world, PING)
    await crash(world, "p7")
    assert await world.states() == [IntentState.RESERVED]
    assert await world.rows("attempts") == []
    assert await world.client.transaction_count(world.key.address, "pending") == 0


async def test_a_crash_while_replacing(world: World) -> None:
    await prepare(world, PING)
    first = world.manager()
    await first.tick()
    await first.close()
    sent = (await world.rows("attempts"))[0]
    await world.client.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(sent.max_fee_per_gas_wei + 1))
    await world.mine()
    options = await crash(world, "p10", replace_after_seconds=0.0)
    assert len(await world.rows("attempts")) == 2
    options["replace_after_seconds"] = 30.0
    await finish(world, options, IntentState.FINAL)
    assert await world.pings() == 1
    assert await world.client.transaction_count(world.key.address) == 1


async def test_a_crash_at_a_revert_tells_of_it_once(world: World) -> None:
    await prepare(world, BURN)
    options = await crash(world, "p11")
    told = await finish(world, options, IntentState.REVERTED)
    assert told == [("failed", 0)]
    assert await world.in_flight() == []
