"""The local chain: state over restarts, broken state files, the ticker's rules, and no orphan."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.chain.client import ChainClient
from chassis.chain.rpc import Call, JsonRpc
from chassis.localchain import LocalChain, LocalChainError, Ticker, anvil_command, find_anvil, restore_state
from chassis.testing import eventually

pytestmark = pytest.mark.chain

ALICE = "0x" + "a1" * 20


async def pay(client: ChainClient) -> str:
    """A plain transfer by the node's first account, put in the pool."""
    sender = (await client.rpc.call("eth_accounts"))[0]
    sent: str = await client.rpc.call("eth_sendTransaction", {"from": sender, "to": ALICE, "value": "0x1"})
    return sent


async def test_the_ticker_mines_buries_and_rests(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=0.02, confirmations=2) as chain:
        client = ChainClient(chain.rpc)

        async def receipt() -> bool:
            return await client.receipt(sent) is not None

        sent = await pay(client)
        await eventually(receipt)
        mined = await client.receipt(sent)
        assert mined is not None

        async def buried() -> bool:
            assert mined is not None
            return await client.block_number() >= mined.block_number + 6

        await eventually(buried)
        resting = await client.block_number()
        await asyncio.sleep(0.3)
        assert await client.block_number() == resting
        final = await client.block("finalized")
        assert final is not None
        assert final.number >= mined.block_number


async def test_a_deadline_in_chain_time_gets_its_block(tmp_path: Path) -> None:
    deadlines = tmp_path / "deadlines"
    async with LocalChain(tmp_path / "chain", mine=False) as chain:
        client = ChainClient(chain.rpc)
        ticker = Ticker(chain.rpc, confirmations=0, deadlines_file=deadlines)
        while await ticker.tick():
            pass
        assert not await ticker.tick()
        deadline = int(time.time()) + 1
        deadlines.write_text(f"{deadline}\n")
        assert not await ticker.tick()
        await asyncio.sleep(2.1)
        assert await ticker.tick()
        tip = await client.block()
        assert tip is not None
        assert tip.timestamp > deadline
        while await ticker.tick():
            pass


async def test_a_transaction_that_slips_into_a_burying_block_is_buried_itself(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, mine=False) as chain:
        client = ChainClient(chain.rpc)

        class Slipping(JsonRpc):
            """A node whose pool gets a transaction right after the ticker has looked into it."""

            sent = ""

            async def batch(self, calls: Sequence[Call], *, once: bool = False) -> list[Any]:
                answers = await super().batch(calls, once=once)
                if not self.sent and calls[0][0] == "txpool_status" and await client.block_number() >= 2:
                    self.sent = await pay(client)
                return answers

        rpc = Slipping([chain.url])
        ticker = Ticker(rpc, confirmations=2)
        while await ticker.tick():
            pass
        receipt = await client.receipt(rpc.sent)
        assert receipt is not None
        assert await client.block_number() == receipt.block_number + 6
        await rpc.close()


def test_deadlines_from_a_callable_count_once_reached_and_until_chain_time_has_passed_them() -> None:
    now = int(time.time())
    ticker = Ticker(JsonRpc(["http://127.0.0.1:1"]), deadlines=lambda: [now - 100, now + 3600])
    assert ticker._is_deadline_due(now - 200)
    assert ticker._is_deadline_due(now - 100), "a deadline is passed by a later moment, not by its own"
    assert not ticker._is_deadline_due(now - 99)
    assert not ticker._is_deadline_due(now)


async def test_the_state_and_the_time_go_on_after_a_restart(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path, mine=False)
    url = await chain.start()
    client = ChainClient(chain.rpc)
    genesis = await client.block(0)
    sent = await pay(client)
    # A chain that has run ahead of the clock.
    await client.rpc.call("evm_setNextBlockTimestamp", int(time.time()) + 3600)
    await client.rpc.call("evm_mine")
    before = await client.block()
    await chain.stop()
    assert not chain.is_running
    assert await chain.start() == url
    client = ChainClient(chain.rpc)
    assert await client.block(0) == genesis
    assert await client.receipt(sent) is not None
    await client.rpc.call("evm_mine")
    after = await client.block()
    assert before is not None
    assert after is not None
    assert after.timestamp > before.timestamp
    assert (after.number, after.parent_hash) == (before.number + 1, before.hash)
    await chain.stop()


async def test_the_genesis_stays_the_same_over_many_restarts(tmp_path: Path) -> None:
    genesis: set[str] = set()
    for _ in range(6):
        async with LocalChain(tmp_path, block_seconds=0.02) as chain:
            client = ChainClient(chain.rpc)
            await pay(client)
            await eventually(lambda client=client: _has_mined(client))
            genesis.add((await chain.rpc.call("eth_getBlockByNumber", "0x0", False))["hash"])
        await asyncio.sleep(1.0)  # its own clock would give each start another block 0
    assert len(genesis) == 1


async def _has_mined(client: ChainClient) -> bool:
    return await client.block_number() > 0


async def test_a_state_cut_off_while_writing_is_replaced_by_the_last_whole_one(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path, mine=False)
    await chain.start()
    genesis = await ChainClient(chain.rpc).block(0)
    await eventually(lambda: asyncio.to_thread((tmp_path / "anvil-state.previous").exists), seconds=20)
    await chain.kill()
    state = tmp_path / "anvil-state.json"
    state.write_bytes(state.read_bytes()[:-100])
    await chain.start()
    assert await ChainClient(chain.rpc).block(0) == genesis
    await chain.stop()


async def test_what_was_saved_survives_a_kill(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path, mine=False)
    await chain.start()
    client = ChainClient(chain.rpc)
    sent = await pay(client)
    await client.rpc.call("evm_mine")
    await chain.saved()
    await chain.kill()
    await chain.start()
    assert await ChainClient(chain.rpc).receipt(sent) is not None
    await chain.stop()


def test_without_any_whole_state_the_chain_starts_empty(tmp_path: Path) -> None:
    state = tmp_path / "anvil-state.json"
    restore_state(state)
    state.write_text("{")
    restore_state(state)
    assert not state.exists()
    assert (tmp_path / "anvil-state.broken").read_text() == "{"


async def test_a_taken_port_is_one_clear_error(tmp_path: Path) -> None:
    async with LocalChain(tmp_path / "one", mine=False) as first:
        second = LocalChain(tmp_path / "two", port=first.port, mine=False)
        with pytest.raises(LocalChainError, match="taken"):
            await second.start()
        assert first.is_running


def test_the_node_never_outlives_its_parent(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from chassis.localchain import LocalChain\n"
        "async def main():\n"
        "    chain = LocalChain(pathlib.Path(sys.argv[1]))\n"
        "    await chain.start(); print(chain.pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as output:
        pid = int(output.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    give_up_at = time.monotonic() + 15
    while _is_alive(pid):
        assert time.monotonic() < give_up_at, f"anvil {pid} outlived its parent"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def test_the_command_has_the_flags_the_chain_depends_on(tmp_path: Path) -> None:
    command = anvil_command(find_anvil(), port=1, state_file=tmp_path / "s")
    for flag in ("--no-mining", "--state", "--state-interval", "--enable-tx-gas-limit"):
        assert flag in command
    assert command[command.index("--slots-in-an-epoch") + 1] == "1"
    assert "--timestamp" not in command


def test_a_missing_anvil_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalChainError, match="npm ci"):
        find_anvil(tmp_path)
