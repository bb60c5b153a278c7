"""The independent verifier against the real API and a real node: it finds nothing while all is true, and names the
reward that is not."""

import ast
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from chassis.app import create_app
from chassis.bus_memory import MemoryBus
from chassis.clock import to_rfc3339, utc_now
from services.rewards import models
from services.rewards.app import SERVICE
from services.rewards.domain.leaves import Leaf
from tests.gateway.servers import served
from tests.rewards.chain_world import PaidWorld
from tests.rewards.world import Story

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify_rewards.py"


class Verifier:
    """The script in a process of its own, against a served API."""

    def __init__(self, world: PaidWorld, app: FastAPI, port: int) -> None:
        self.world = world
        self.app = app
        self._api = f"http://127.0.0.1:{port}"

    async def run(self, *more: str) -> tuple[int, str]:
        """Exit status and output. `-I`: nothing of this project can be imported."""
        network = self.world.network
        arguments = ("--api", self._api, "--rpc", network.node.url, *more)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(SCRIPT), *arguments,
            cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def complaints(self, *tampering: str) -> list[str]:
        """What it says after these statements, which are undone afterwards."""
        tables = ("rewards", "settlements", "settlement_leaves")
        for table in tables:
            await self.world.execute(f"CREATE TABLE saved_{table} AS TABLE {table}")
        try:
            for statement in tampering:
                await self.world.execute(statement)
            status, output = await self.run()
        finally:
            for table in tables:
                await self.world.execute(f"DELETE FROM {table}")
                await self.world.execute(f"INSERT INTO {table} SELECT * FROM saved_{table}")
                await self.world.execute(f"DROP TABLE saved_{table}")
        assert status == 1, output
        *found, summary = output.splitlines()
        assert summary.endswith(f"{len(found)} problems")
        return found


@pytest.fixture
async def verifier(paid: PaidWorld, paid_story: Story) -> AsyncIterator[Verifier]:
    """Three settlements: four rewards, two of which are set off in part against a refund, two more."""
    await paid_story.begin()
    first = await paid_story.pay()
    await paid_story.pay()
    await paid.payout()
    await paid_story.refund(first, 25_000)
    for _ in range(2):
        await paid_story.pay()
        await paid.payout()
    await paid.check_invariants(paid_story)
    settings = paid.context.settings.model_copy(update={"role": "api"})
    app = create_app(SERVICE, settings=settings, token_source=paid.mint, bus=MemoryBus())
    async with served(app, lifespan="on") as port:
        yield Verifier(paid, app, port)


async def test_what_is_true_holds_and_what_was_altered_is_named(verifier: Verifier):
    world = verifier.world
    minter = world.network.deployment["contracts"]["rewards_minter"]
    status, output = await verifier.run("--minter", minter)
    assert status == 0, output
    assert output.splitlines() == [
        "all holds",
        f"3 settlements, 8 rewards, {8 * 20 * 10**18 - 10 * 10**18} wei, minter {minter.lower()}: 0 problems",
    ]
    set_off = next(row for row in await world.rewards() if row.offset_wei)
    other = next(row for row in await world.rewards() if row.seq == 2)
    named = f"UPDATE rewards SET {{}} WHERE id = '{set_off.id}'"
    for change in (
        "amount_wei = amount_wei + 1",
        "offset_wei = offset_wei - 1",
        "offset_wei = 0",
        "payout_address = '0x00000000000000000000000000000000DeaDBeef'",
        f"beneficiary_id = '{UUID(int=7)}'",
        f"source_id = '{UUID(int=7)}'",
        "kind = 'grant'",
    ):
        found = await verifier.complaints(named.format(change))
        assert any(f"reward {set_off.id} (seq {set_off.seq}, " in line for line in found), (change, found)
        assert not any(str(other.id) in line for line in found), change
    found = await verifier.complaints(f"UPDATE rewards SET offset_wei = 1 WHERE id = '{other.id}'")
    assert any(str(other.id) in line for line in found)


async def test_an_alteration_that_takes_its_leaf_along_is_found_by_root_and_calldata(verifier: Verifier):
    world = verifier.world
    (row,) = [row for row in await world.rewards() if row.seq == 3]
    minter = world.network.deployment["contracts"]["rewards_minter"]
    leaf = Leaf(minter, 3, row.kind, row.source_id, row.beneficiary_id, row.payout_address, row.amount_wei + 5)
    found = await verifier.complaints(
        f"UPDATE rewards SET amount_wei = amount_wei + 5 WHERE id = '{row.id}'",
        f"UPDATE settlement_leaves SET hash = '\\x{leaf.hash().hex()}' WHERE seq = 3 AND NOT is_offset",
    )
    assert "settlement 1: its leaves do not make the root on chain" in found[0]
    assert f"is owed {2 * 20 * 10**18 + 5} wei" in found[1]
    assert str(row.id) in found[1]


async def test_a_settlement_or_a_reward_left_out_or_moved_is_named(verifier: Verifier):
    world = verifier.world
    (hidden,) = [row for row in await world.rewards() if row.seq == 5]
    found = await verifier.complaints("UPDATE settlements SET status = 'freed' WHERE first_id = 5")
    assert found == ["settlement 5: on chain, but not in the API"]
    found = await verifier.complaints(f"UPDATE rewards SET settlement_id = NULL, seq = NULL WHERE id = '{hidden.id}'")
    assert f"settlement 5: reward {hidden.id} (seq 5) was settled, and the API does not say so" in found
    found = await verifier.complaints("UPDATE settlements SET sum_wei = sum_wei + 1 WHERE first_id = 1")
    assert found[0].startswith("settlement 1: the API says (4, ")
    first, _, last = await world.rows(select(models.settlements).order_by(models.settlements.c.first_id))
    found = await verifier.complaints(
        f"UPDATE settlements SET chain_tx_hash = '{last.chain_tx_hash}' WHERE id = '{first.id}'"
    )
    assert found == [f"settlement 1: {last.chain_tx_hash} settled something else"]


async def test_another_minter_than_the_known_one_is_not_believed(verifier: Verifier):
    status, output = await verifier.run("--minter", "0x" + "11" * 20)
    assert status == 1
    assert "is no successful call of the minter 0x1111" in output


def test_it_is_short_and_imports_nothing_of_ours():
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 200
    found = set()
    for node in ast.walk(ast.parse(text)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        found |= {name.partition(".")[0] for name in names}
    assert found - set(sys.stdlib_module_names) == {"eth_hash"}


async def test_epochs_are_listed_and_read_page_by_page(
    verifier: Verifier, client_for: Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]
):
    async with client_for(verifier.app) as client:
        (epoch,) = (await client.get("/v1/audit/epochs")).json()["items"]
        assert (epoch["number"], epoch["settlements"]) == (1, 3)
        assert epoch["starts_at"] < to_rfc3339(utc_now()) < epoch["ends_at"]
        assert epoch["charged_wei"] == epoch["minted_wei"] == str(8 * 20 * 10**18 - 10 * 10**18)
        seen: list[int] = []
        query: dict[str, str | int] = {"limit": 1}
        while query.get("cursor", "") is not None:
            page = (await client.get("/v1/audit/epochs/1", params=query)).json()
            assert {name: page[name] for name in epoch} == epoch
            (settlement,) = page["items"]
            assert settlement["is_proven"]
            assert [line["seq"] for line in settlement["leaves"] if line["kind"] != "offset"] == list(
                range(settlement["first_id"], settlement["first_id"] + settlement["reward_count"])
            )
            seen.append(settlement["first_id"])
            query["cursor"] = page["next_cursor"]
        assert seen == [1, 5, 7]
        for number in ("2", "0", "-1", "x", "1_0", "%201", "9" * 30, "1.0"):
            answer = await client.get(f"/v1/audit/epochs/{number}")
            assert answer.status_code == 404, number
            assert answer.json()["code"] == ("epoch_not_found" if number == "2" else "not_found"), number
        answer = await client.get("/v1/audit/epochs/1", params={"cursor": "bm9uc2Vuc2U"})
        assert answer.status_code == 400
