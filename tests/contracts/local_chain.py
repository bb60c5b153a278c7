"""A real EVM node for the contract tests, and plain calls to it; started and ended by the fixtures."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from scripts.contract_tools import Contract, DeployError, Node
from scripts.deploy_contracts import ARTIFACTS

ANVIL = Path(__file__).resolve().parents[2] / "node_modules" / ".bin" / "anvil"


def account(name: str) -> LocalAccount:
    """A key of the tests' own, the same for the same name."""
    key: LocalAccount = Account.from_key(keccak(text=f"contract tests: {name}"))
    return key


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def anvil(*options: str) -> Iterator[str]:
    """The URL of a fresh node that lives as long as the block."""
    port = free_port()
    command = [str(ANVIL), "--port", str(port), "--hardfork", "osaka", "--enable-tx-gas-limit", "-q", *options]
    with subprocess.Popen(command) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("anvil did not start")


@contextmanager
def ticker(url: str, interval: float) -> Iterator[None]:
    """Mines a block every `interval` seconds while the block runs, as the development stack does."""
    stop = threading.Event()
    node = Node(url)

    def tick() -> None:
        while not stop.wait(interval):
            node._post("evm_mine", ())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Chain:
    """Reads and sends by contract and function name."""

    url: str
    contracts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node = Node(self.url)

    async def fund(self, *accounts: LocalAccount) -> None:
        """Gives each account 100 ETH."""
        for each in accounts:
            await self.node.call("anvil_setBalance", each.address, hex(100 * 10**18))

    async def pass_time(self, seconds: int) -> None:
        """Moves the chain's clock and mines a block."""
        await self.node.call("evm_increaseTime", seconds)
        await self.node.call("evm_mine")

    async def next_second(self) -> None:
        """Lets the next block have a second of its own, as blocks have: in a second that has a checkpoint of the supply
        already, a mint costs 22,100 gas less."""
        await self.node.call("evm_setNextBlockTimestamp", await self.now() + 1)

    async def now(self) -> int:
        """The newest block's timestamp."""
        return int((await self.node.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    async def read(self, name: str, function: str, *arguments: object) -> Any:
        """The single value a view function returns."""
        return await Contract(ARTIFACTS[name]).read(self.node, self.contracts[name], function, *arguments)

    async def call(
        self, sender: LocalAccount, name: str, function: str, *arguments: object, gas: int = 2_000_000
    ) -> dict[str, Any]:
        """Sends a chain tx of automine and returns its receipt, failed or not."""
        return await self.send(sender, self.contracts[name], calldata(name, function, *arguments), gas=gas)

    async def send(self, sender: LocalAccount, to: str, data: bytes, *, gas: int) -> dict[str, Any]:
        """Sends raw calldata; the receipt with its numbers as integers."""
        nonce = int(await self.node.call("eth_getTransactionCount", sender.address, "pending"), 16)
        fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1}
        chain_id = int(await self.node.call("eth_chainId"), 16)
        tx: dict[str, Any] = {
            "chainId": chain_id,
            "nonce": nonce,
            "to": to,
            "data": data,
            "value": 0,
            "gas": gas,
            **fees,
        }
        raw = bytes(sender.sign_transaction(tx).raw_transaction)
        sent = await self.node.call("eth_sendRawTransaction", "0x" + raw.hex())
        receipt = await self._receipt(sent)
        return receipt | {"status": int(receipt["status"], 16), "gasUsed": int(receipt["gasUsed"], 16)}

    async def _receipt(self, tx_hash: str) -> dict[str, Any]:
        for _ in range(200):
            receipt: dict[str, Any] | None = await self.node.call("eth_getTransactionReceipt", tx_hash)
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.02)
        raise AssertionError(f"{tx_hash} was not mined")

    async def refusal(self, sender: LocalAccount, name: str, function: str, *arguments: object) -> str:
        """What the node says when the call is simulated and reverts. Fails when it does not revert."""
        data = "0x" + calldata(name, function, *arguments).hex()
        try:
            await self.node.call(
                "eth_call", {"from": sender.address, "to": self.contracts[name], "data": data}, "latest"
            )
        except DeployError as error:
            return str(error)
        raise AssertionError(f"{function} did not revert")


def calldata(name: str, function: str, *arguments: object) -> bytes:
    """The calldata of a call to a contract of the deployment."""
    return Contract(ARTIFACTS[name]).calldata(function, *arguments)


def word(recipient: str, amount_wei: int) -> bytes:
    """One word of `settle`."""
    return bytes.fromhex(recipient[2:]) + amount_wei.to_bytes(12, "big")


def error_selector(signature: str) -> str:
    """The four bytes, in hex, that a custom error's data begins with."""
    return keccak(text=signature)[:4].hex()


def recipients(prefix: int, count: int) -> Sequence[str]:
    """Addresses nobody has used."""
    return [f"0x{prefix:020x}{index + 1:020x}" for index in range(count)]
