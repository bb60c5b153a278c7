"""Transfer mode: the same pipeline on a token of the live BTRST's shape, paid from a reserve; exactly once too.

The scenarios of the payouts' tests run again here, on a node where nothing can be minted.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import select

from chassis.app import create_app
from chassis.bus_memory import MemoryBus
from chassis.chain.client import ChainClient
from chassis.chain.rpc import JsonRpc
from scripts.contract_tools import DeployError
from scripts.deploy_reserve import deploy_reserve
from services.rewards import models, workers
from services.rewards.app import SERVICE
from services.rewards.chain import Chain
from services.rewards.settings import RewardsSettings
from tests.contracts.bench_code import calldata, creation
from tests.rewards.chain_world import Network, PaidWorld
from tests.rewards.test_http import ClientFor
from tests.rewards.test_payout_corners import (  # noqa: F401 - run again, on this module's network
    test_a_freed_settlement_that_a_shortened_chain_carries_out_is_read_back,
    test_what_another_signer_settled_first_is_read_back_and_not_paid_again,
)
from tests.rewards.test_payouts import (  # noqa: F401 - run again, on this module's network
    test_a_failed_settlement_is_planned_anew_with_the_same_numbers,
    test_a_node_that_is_away_delays_and_loses_nothing,
    test_a_pause_is_over_when_the_chain_says_so_whatever_our_clock_says,
    test_a_refund_after_the_mint_is_set_off_against_the_next_reward,
    test_a_reorganisation_takes_a_minted_reward_back_and_forth,
    test_a_restart_between_any_two_steps_ends_in_the_same_balances,
    test_a_restored_database_reads_back_what_it_has_forgotten,
    test_killed_at_a_crash_point_it_ends_in_the_same_balances,
)
from tests.rewards.test_restored_lane import (  # noqa: F401 - run again, on this module's network
    test_a_nonce_that_a_restored_database_has_forgotten_is_not_given_again,
)
from tests.rewards.world import Story

pytestmark = pytest.mark.chain
BTRST = 10**18
SUPPLY = 250_000_000 * BTRST
FUNDED = 1_000_000 * BTRST
TIMELOCK = "0x000000000000000000000000000000000071ECc0"


class FixedSupplyNetwork(Network):
    """One node with a token that has no mint, and a ReservePayer."""

    async def start(self) -> None:
        await self.node.start()
        self.client = ChainClient(JsonRpc([self.node.url]))
        for key in self.keys.values():
            await self.client.rpc.call("anvil_setBalance", Account.from_key(key).address, hex(10**21))
        self.funder = Account.from_key(self.keys["guardian"]).address
        token = await self.sent(self.funder, None, creation("FixedSupplyToken", self.funder, SUPPLY))
        people = {name: Account.from_key(self.keys[name]).address for name in ("signer", "guardian")}
        async with self.mining():
            self.deployment = await deploy_reserve(
                self.node.url,
                self.keys["deployer"],
                {**people, "token": token, "timelock": TIMELOCK},
                capacity_wei=5_000_000 * BTRST,
                refill_wei_per_second=10 * BTRST,
            )
        at = self.deployment["contracts"]
        self.contracts = Chain(
            self.client, btrst_address=token, minter_address=at["reserve_payer"], pays_from_reserve=True
        )
        await self.fund(FUNDED)
        await self.mine(8)  # the reorganisations of tests are to leave the contracts, and what is in the reserve

    async def sent(self, sender: str, to: str | None, data: bytes) -> str:
        """Send by an account of this test's; the address of what it created, if it did."""
        await self.client.rpc.call("anvil_impersonateAccount", sender)
        call = {"from": sender, "data": "0x" + data.hex(), "gas": hex(3_000_000)} | ({"to": to} if to else {})
        sent = await self.client.rpc.call("eth_sendTransaction", call)
        await self.mine()
        receipt = await self.client.rpc.call("eth_getTransactionReceipt", sent)
        assert int(receipt["status"], 16) == 1
        return str(receipt["contractAddress"] or "")

    async def fund(self, amount_wei: int) -> None:
        """Put so much into the reserve."""
        at = self.deployment["contracts"]
        data = calldata("FixedSupplyToken", "transfer", at["reserve_payer"], amount_wei)
        await self.sent(self.funder, at["btrst"], data)

    async def withdraw(self, amount_wei: int) -> None:
        """The timelock takes so much out."""
        await self.client.rpc.call("anvil_setBalance", TIMELOCK, hex(10**21))
        payer = self.contracts.minter
        await self.sent(TIMELOCK, payer.address, payer.encode("withdraw", self.funder, amount_wei))

    async def reserve(self) -> int:
        """What is left in it."""
        found: int = await self.client.read(self.contracts.minter, "reserveWei")
        return found

    def settings(self) -> dict[str, Any]:
        at = self.deployment["contracts"]
        return {
            "chain_rpc_urls": self.node.url,
            "payout_mode": "transfer",
            "btrst_address": at["btrst"],
            "minter_address": at["reserve_payer"],
            "signer_key": self.keys["signer"],
        }


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[FixedSupplyNetwork]:
    """In place of the network that mints."""
    made = FixedSupplyNetwork(tmp_path / "chain")
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def test_rewards_are_paid_from_the_reserve_and_the_supply_stands_still(
    paid: PaidWorld, paid_story: Story, network: FixedSupplyNetwork, client_for: ClientFor
):
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    await paid.check_invariants(paid_story)
    for address in paid_story.wallets.values():
        assert await network.balance(address) == 20 * BTRST
    assert await network.client.read(network.contracts.token, "totalSupply") == SUPPLY
    assert await network.reserve() == FUNDED - 40 * BTRST
    settings = paid.context.settings.model_copy(update={"role": "api"})
    app = create_app(SERVICE, settings=settings, token_source=paid.mint, bus=MemoryBus())
    async with client_for(app) as client:
        token = (await client.get("/v1/token")).json()
        audit = (await client.get("/v1/audit/supply")).json()
    assert (token["cap_wei"], token["total_supply_wei"]) == (str(SUPPLY), str(SUPPLY))
    assert token["remaining_wei"] == str(FUNDED - 40 * BTRST)
    assert (audit["onchain_minted_wei"], audit["difference_wei"]) == (str(40 * BTRST), "0")


async def test_an_empty_reserve_holds_rewards_until_somebody_funds_it(
    paid: PaidWorld, paid_story: Story, network: FixedSupplyNetwork
):
    await network.withdraw(FUNDED - 30 * BTRST)
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    statuses = sorted((row.status, row.reason, row.minted_wei) for row in await paid.rewards())
    assert statuses == [("held", "reserve_empty", 0), ("minted", None, 20 * BTRST)]
    assert not await paid.settle()
    (held,) = [row for row in await paid.rewards() if row.status == "held"]
    assert held.check_at is not None
    await network.fund(10 * BTRST)
    await paid.execute("UPDATE rewards SET check_at = clock_timestamp() WHERE status = 'held'")
    await workers.review_due(paid.context)
    await paid.payout()
    await paid.check_invariants(paid_story)
    assert {row.minted_wei for row in await paid.rewards()} == {20 * BTRST}
    assert await network.reserve() == 0


async def test_a_reserve_that_is_emptied_under_a_settlement_pays_nobody_twice(
    paid: PaidWorld, paid_story: Story, network: FixedSupplyNetwork
):
    """Reserved while there was enough; the timelock is faster. The chain tx reverts, and nothing has moved."""
    await paid_story.begin()
    await paid_story.pay()
    assert await paid.settle()
    await network.withdraw(FUNDED)
    for _ in range(3):
        await paid.follow()
        await network.mine(3)
        await paid.mend()
    assert await paid.settled_statuses() == ["freed"]
    assert {row.minted_wei for row in await paid.rewards()} == {0}
    await paid.settle()
    assert {(row.status, row.reason) for row in await paid.rewards()} == {("held", "reserve_empty")}
    await network.fund(FUNDED)
    await paid.execute("UPDATE rewards SET check_at = clock_timestamp() WHERE status = 'held'")
    await workers.review_due(paid.context)
    await paid.payout()
    await paid.check_invariants(paid_story)
    assert [row.first_id for row in await paid.rows(select(models.settled_logs))] == [1]


async def test_the_deployment_is_refused_to_whoever_would_keep_a_power(network: FixedSupplyNetwork):
    deployer = Account.from_key(network.keys["deployer"]).address
    at = network.deployment["contracts"]
    people = {"token": at["btrst"], "timelock": TIMELOCK, "signer": network.funder, "guardian": network.funder}
    for wrong, why in (
        ({"timelock": deployer}, "the deployer cannot be the timelock"),
        ({"signer": "0x00"}, "the signer's address is not one"),
        ({"token": network.funder}, "there is no contract at the token's address"),
    ):
        with pytest.raises(DeployError, match=why):
            await deploy_reserve(network.node.url, network.keys["deployer"], people | wrong)


async def test_the_command_deploys_and_prints_the_settings_of_the_service(network: FixedSupplyNetwork):
    at = network.deployment["contracts"]
    arguments = ["--rpc-url", network.node.url, "--token", at["btrst"], "--timelock", TIMELOCK]
    for name in ("signer", "guardian"):
        arguments += [f"--{name}", network.funder]

    async def run(**environment: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.deploy_reserve", *arguments,
            env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    assert await run(DEPLOYER_KEY="") == (1, "DEPLOYER_KEY is not set\n")
    async with network.mining():
        status, output = await run(DEPLOYER_KEY=network.keys["deployer"])
    assert status == 0, output
    told = dict(line.split("=", 1) for line in output.splitlines())
    values = {name.removeprefix("REWARDS_").lower(): value for name, value in told.items()}
    settings = RewardsSettings(database_url="postgresql://x/y", **values)
    assert (settings.payout_mode, settings.btrst_address) == ("transfer", at["btrst"])
    chain = Chain(
        network.client, btrst_address=at["btrst"], minter_address=settings.minter_address, pays_from_reserve=True
    )
    assert await network.client.read(chain.minter, "nextId") == 1
