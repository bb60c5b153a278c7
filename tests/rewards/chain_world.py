"""Rewards on a real node with the real contracts: blocks by hand, ticks by hand, invariants on demand."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eth_account import Account
from sqlalchemy import func, select

from chassis.chain.client import ChainClient
from chassis.chain.rpc import JsonRpc
from chassis.localchain import LocalChain
from scripts.deploy_contracts import Deployment, deploy
from services.rewards import models, workers
from services.rewards.chain import Chain
from tests.rewards.world import Neighbours, Story, World


class Network:
    """One node with the contracts deployed; its signer's key belongs to the rewards service."""

    def __init__(self, folder: Path) -> None:
        self.node = LocalChain(folder, mine=False)
        self.keys = {name: "0x" + secrets.token_hex(32) for name in ("deployer", "signer", "submitter", "guardian")}
        self.deployment: Deployment
        self.client: ChainClient
        self.contracts: Chain

    async def start(self) -> None:
        await self.node.start()
        self.client = ChainClient(JsonRpc([self.node.url]))
        addresses = {name: Account.from_key(key).address for name, key in self.keys.items()}
        for address in addresses.values():
            await self.client.rpc.call("anvil_setBalance", address, hex(10**21))
        async with self.mining():
            self.deployment = await deploy(
                self.node.url,
                self.keys["deployer"],
                signer_address=addresses["signer"],
                submitter_address=addresses["submitter"],
                guardian_address=addresses["guardian"],
                allocations=[],
            )
        await self.mine(8)  # the reorganisations of tests are to leave the contracts
        at = self.deployment["contracts"]
        self.contracts = Chain(self.client, btrst_address=at["btrst"], minter_address=at["rewards_minter"])

    @asynccontextmanager
    async def mining(self) -> AsyncIterator[None]:
        """Blocks come by themselves while the block runs."""
        task = asyncio.create_task(self._keep_mining())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_mining(self) -> None:
        while True:
            await self.client.rpc.call("evm_mine")
            await asyncio.sleep(0.05)

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.client.rpc.call("evm_mine")

    async def balance(self, address: str) -> int:
        found: int = await self.client.read(self.contracts.token, "balanceOf", address)
        return found

    async def stop(self) -> None:
        await self.client.close()
        await self.node.kill()

    def settings(self) -> dict[str, Any]:
        at = self.deployment["contracts"]
        return {
            "chain_rpc_urls": self.node.url,
            "btrst_address": at["btrst"],
            "minter_address": at["rewards_minter"],
            "signer_key": self.keys["signer"],
        }


class PaidWorld(World):
    """The rewards service with a chain to pay on."""

    def __init__(self, dsn: str, neighbours: Neighbours, network: Network) -> None:
        super().__init__(dsn, neighbours, **network.settings())
        self.network = network

    @property
    def side(self) -> workers.ChainSide:
        found: workers.ChainSide = self.context.resources.chain_side
        return found

    async def follow(self) -> None:
        """One tick of the transaction manager; what it reports as a problem fails the test."""
        self.side.next_tick_at = 0.0
        await workers.follow_chain(self.context)
        assert self.side.report is not None
        assert self.side.report.problem is None, self.side.report.problem

    async def settle(self) -> bool:
        """One tick of the planner."""
        self.side.blocked_until = 0.0
        return await workers.settle_payouts(self.context)

    async def mend(self) -> None:
        await workers.mend_settlements(self.context)

    async def reconcile(self) -> None:
        self.side.reconciled_at = float("-inf")
        await workers.reconcile_supply(self.context)

    async def payout(self) -> None:
        """From queued to minted: reserve, send, mine, confirm."""
        assert await self.settle()
        await self.follow()
        await self.network.mine(3)
        await self.follow()

    async def settled_statuses(self) -> list[str]:
        """Sorted: of two with the same ids, either may be the older one."""
        return sorted(row.status for row in await self.rows(select(models.settlements)))

    async def check_invariants(self, story: Story) -> None:
        """I1 to I5 at one final block, to the wei."""
        await self.follow()
        await self.network.mine(6)
        await self.follow()
        await self.reconcile()
        await self.reconcile()
        await self.check_ledger()
        (figures,) = await self.rows(select(models.chain_figures))
        minted = sum(row.minted_wei for row in await self.rewards())
        assert figures.ledger_minted_wei == figures.onchain_minted_wei == minted
        balances = [await self.network.balance(address) for address in set(story.wallets.values())]
        assert sum(balances) == minted
        assert figures.total_supply_wei <= figures.cap_wei == 250_000_000 * 10**18
        numbers = sorted(row.seq for row in await self.rewards() if row.seq is not None)
        assert numbers == list(range(1, len(numbers) + 1))
        nonces = await self.rows(select(models.chain.intents.c.nonce).order_by(models.chain.intents.c.nonce))
        first = nonces[0].nonce if nonces else 0
        assert [row.nonce for row in nonces] == list(range(first, first + len(nonces)))
        owed = await self.rows(
            select(func.sum(models.ledger_postings.c.amount_wei)).where(
                models.ledger_postings.c.account == "receivable"
            )
        )
        receivables = await self.rows(select(func.sum(models.parties.c.receivable_wei)))
        assert -(owed[0][0] or 0) == receivables[0][0]
