"""A local chain with the contracts on it, and wallets that sign: what tests of governance play with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account

from chassis.chain.abi import Contract
from chassis.chain.artifacts import load_artifact
from chassis.chain.client import ChainClient
from chassis.localchain import LocalChain
from chassis.testing import eventually
from scripts.deploy_contracts import deploy


@dataclass
class Wallet:
    """A key of a test, and what it can sign."""

    number: int
    account: Any = field(init=False)

    def __post_init__(self) -> None:
        self.account = Account.from_key(self.number.to_bytes(32, "big"))

    @property
    def address(self) -> str:
        return str(self.account.address)

    def sign(self, typed: dict[str, Any]) -> str:
        return "0x" + bytes(self.account.sign_typed_data(full_message=typed).signature).hex()


DEPLOYER, RELAY, SIGNER, GUARDIAN = Wallet(0xD3), Wallet(0x4E1A), Wallet(0x51), Wallet(0x6A)


@dataclass
class Chain:
    """A local chain with the contracts."""

    node: LocalChain
    client: ChainClient
    contracts: dict[str, str]

    def contract(self, name: str, artifact: str) -> Contract:
        return Contract(self.contracts[name], load_artifact(artifact).abi)

    @property
    def btrst(self) -> Contract:
        return self.contract("btrst", "BTRST")

    @property
    def governor(self) -> Contract:
        return self.contract("governor", "BTRSTGovernor")

    @property
    def registry(self) -> Contract:
        return self.contract("network_parameters", "NetworkParameters")

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "chain_rpc_urls": self.node.url,
            "btrst_address": self.contracts["btrst"],
            "parameters_address": self.contracts["network_parameters"],
            "governor_address": self.contracts["governor"],
            "signer_key": RELAY.account.key.hex(),
            "role": "all",
        } | more

    async def give(self, *addresses: str) -> None:
        for address in addresses:
            await self.client.rpc.call("anvil_setBalance", address, hex(10**20))

    async def send(self, wallet: Wallet, contract: Contract, method: str, *args: Any) -> str:
        """A chain tx of the wallet's own; its hash."""
        nonce = await self.client.transaction_count(wallet.address, "pending")
        signed = wallet.account.sign_transaction(
            {"chainId": 31337, "nonce": nonce, "to": contract.address, "value": 0, "gas": 500_000,
             "data": contract.encode(method, *args), "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
        )  # fmt: skip
        sent: str = await self.client.rpc.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        return sent

    async def mined(self, transaction_hash: str) -> Any:
        receipt = await eventually(lambda: self.client.receipt(transaction_hash), seconds=60)
        assert receipt.status == 1
        return receipt


@asynccontextmanager
async def new_chain(
    folder: Path, *, allocations: Sequence[tuple[str, int]], rich: Sequence[Wallet]
) -> AsyncIterator[Chain]:
    """A fresh chain with the contracts; `allocations` hold BTRST (wei), `rich` hold ether."""
    # Four blocks lie between one with chain txs and the last final one: more than a second, or nothing would be past.
    async with LocalChain(folder, block_seconds=0.4) as node:
        client = ChainClient(node.rpc)
        for wallet in (DEPLOYER, RELAY, *rich):
            await client.rpc.call("anvil_setBalance", wallet.address, hex(10**20))
        deployed = await deploy(
            node.url,
            DEPLOYER.account.key.hex(),
            signer_address=SIGNER.address,
            submitter_address=RELAY.address,
            guardian_address=GUARDIAN.address,
            allocations=allocations,
        )
        yield Chain(node, client, deployed["contracts"])
