"""`make gas`: gas of each reward on a real node, beside the usual designs built under `contracts/bench`, in one run.

Gas is that of whole receipts, divided by the number of rewards. *Repeat* recipients hold the token already, *fresh*
ones do not; *merged* is five rewards for each of 20 recipients in one chain tx. Addresses, ids and amounts have hardly
a zero byte, as real ones do: calldata costs what it will cost. Each chain tx has a block and a second of its own, so
that votes get a checkpoint each time. Each payment is checked by the balances.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.contracts.bench_code import calldata, creation
from tests.contracts.conftest import PEOPLE, deployed
from tests.contracts.local_chain import Chain, account, anvil, word

BTRST = 10**18
AMOUNT = 20 * BTRST + 0x01010101_01010101
COUNTS = (1, 10, 100)
GAS = 2**24
SIGNER = PEOPLE["signer"]


@dataclass
class Peer:
    """A deployed contract of `contracts/bench`."""

    chain: Chain
    name: str
    address: str = ""

    async def deploy(self, *arguments: object) -> "Peer":
        """Deploy it; the signer pays."""
        data = "0x" + creation(self.name, *arguments).hex()
        asked = {"from": SIGNER.address, "data": data, "gas": hex(GAS)}
        sent = await self.chain.node.call("eth_sendTransaction", asked)
        self.address = to_checksum_address((await self.chain._receipt(sent))["contractAddress"])
        return self

    def data(self, function: str, *arguments: object) -> bytes:
        """Calldata."""
        return calldata(self.name, function, *arguments)

    async def call(self, function: str, *arguments: object) -> int:
        """Send a call by the signer; the receipt's gas."""
        await self.chain.next_second()
        receipt = await self.chain.send(SIGNER, self.address, self.data(function, *arguments), gas=GAS)
        assert receipt["status"] == 1, (function, receipt)
        return int(receipt["gasUsed"])

    async def balance(self, account: str) -> int:
        """Wei of an account, for tokens."""
        asked = {"to": self.address, "data": "0x" + self.data("balanceOf", account).hex()}
        return int(await self.chain.node.call("eth_call", asked, "latest"), 16)


class Design(Protocol):
    """A way of paying rewards; `pay` sends one chain tx and returns its gas."""

    name: str
    counts: Sequence[int]
    merges: bool
    """Whether several rewards of one account can be one payment."""

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """Pay `rewards` rewards, `AMOUNT` to each of `to`."""
        ...

    async def balance(self, account: str) -> int:
        """Wei of an account."""
        ...


@dataclass
class Settle:
    """Ours."""

    chain: Chain
    next_id: int = 1
    name: str = "BTRST: id range, packed words"
    counts: Sequence[int] = COUNTS
    merges: bool = True

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """As `Design.pay`."""
        ids = b"".join(reward_id(self.next_id + i) for i in range(rewards))
        words = [word(one, AMOUNT) for one in to]
        await self.chain.next_second()
        receipt = await self.chain.call(
            SIGNER, "rewards_minter", "settle", self.next_id, ids, keccak(ids), words, gas=GAS
        )
        assert receipt["status"] == 1, receipt
        self.next_id += rewards
        return int(receipt["gasUsed"])

    async def balance(self, account: str) -> int:
        """As `Design.balance`."""
        return int(await self.chain.read("btrst", "balanceOf", account))


@dataclass
class Peered:
    """One of the peers: its contract, and the token it pays. As it stands: a mapping of ids, one mint a chain tx."""

    peer: Peer
    token: Peer
    name: str = ""
    counts: Sequence[int] = COUNTS
    number: int = 0
    merges: bool = False

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """As `Design.pay`, a chain tx for each."""
        self.number += 1
        return await self.peer.call("pay", reward_id(self.number), to[0], AMOUNT)

    async def balance(self, account: str) -> int:
        """As `Design.balance`."""
        return await self.token.balance(account)


class Mapped(Peered):
    """A mapping of ids, batched."""

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """As `Design.pay`."""
        ids = [reward_id(self.number + i + 2**40) for i in range(rewards)]
        self.number += rewards
        return await self.peer.call("payMany", ids, to, [AMOUNT] * rewards)


class Bits(Peered):
    """A bitmap of ids."""

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """As `Design.pay`."""
        self.number += rewards
        return await self.peer.call("payMany", self.number - rewards, [word(one, AMOUNT) for one in to])


class Dispersed(Peered):
    """Transfers only."""

    async def pay(self, to: Sequence[str], rewards: int) -> int:
        """As `Design.pay`."""
        return await self.peer.call("disperse", self.token.address, to, [AMOUNT] * len(to))


def people(design: int, group: int, count: int) -> list[str]:
    """Addresses nobody has used."""
    return [account(f"{design} {group} {index}").address for index in range(count)]


def reward_id(number: int) -> bytes:
    """16 bytes without a zero among them: the dearest id."""
    return bytes(1 + number // 127**i % 127 for i in range(16))


@dataclass
class Figures:
    """Gas of each reward."""

    repeat: dict[int, int] = field(default_factory=dict)
    fresh: dict[int, int] = field(default_factory=dict)
    merged: int | None = None


async def measure(design: Design, number: int) -> Figures:
    """Every kind of payment by one design, to accounts of its own."""
    found = Figures()
    await design.pay(people(number, 0, 1), 1)  # what only the first payment of all costs
    for i, count in enumerate(design.counts, 1):
        paid = people(number, i, count)
        found.fresh[count] = await design.pay(paid, count) // count
        found.repeat[count] = await design.pay(paid, count) // count
        assert {await design.balance(one) for one in paid} == {2 * AMOUNT}
    if design.merges:
        paid = people(number, len(design.counts), 20)
        found.merged = await design.pay(paid, 100) // 100
        assert {await design.balance(one) for one in paid} == {3 * AMOUNT}
    return found


async def designs(chain: Chain) -> list[Design]:
    """Ours and the peers, deployed."""
    await chain.node.call("anvil_impersonateAccount", SIGNER.address)
    found: list[Design] = [Settle(chain)]
    for name, kind, contract, counts in (
        ("mapping of ids, one mint per tx", Peered, "MappingMinter", (1,)),
        ("mapping of ids, batched", Mapped, "MappingMinter", COUNTS),
        ("bitmap of ids", Bits, "BitmapMinter", COUNTS),
    ):
        token = await Peer(chain, "PlainToken").deploy()
        peer = await Peer(chain, contract).deploy(token.address, SIGNER.address)
        await token.call("grantRole", keccak(text="MINTER_ROLE"), peer.address)
        found.append(kind(peer, token, name, counts))
    token = await Peer(chain, "FixedSupplyToken").deploy(SIGNER.address, 250_000_000 * BTRST)
    peer = await Peer(chain, "Disperser").deploy()
    await token.call("approve", peer.address, 2**256 - 1)
    return [*found, Dispersed(peer, token, "disperse.app's shape (transfers only)", merges=True)]


def _cell(figures: dict[int, int], count: int) -> str:
    return f"{figures[count]:>9,}" if count in figures else f"{'–':>9}"


async def main() -> int:
    """Measure and print; 1 when a goal of the design is missed."""
    with anvil() as url:
        chain = await deployed(url, mint_capacity_wei=130_000_000 * BTRST)
        measured = [(design, await measure(design, i)) for i, design in enumerate(await designs(chain))]
    heads = [f"{kind} {count}" for kind in ("repeat", "fresh") for count in COUNTS]
    print(f"{'gas of each reward':<40}" + "".join(f"{head:>11}" for head in [*heads, "merged 5:1"]))
    for design, found in measured:
        cells = [_cell(figures, count) for figures in (found.repeat, found.fresh) for count in COUNTS]
        cells.append(f"{found.merged:>9,}" if found.merged is not None else f"{'–':>9}")
        print(f"{design.name:<40}" + "".join(f"{cell:>11}" for cell in cells))
    ours, one = measured[0][1], measured[1][1]
    result = {
        "settle_repeat_n100": ours.repeat[100],
        "settle_fresh_n100": ours.fresh[100],
        "settle_merged_5to1": ours.merged,
        "one_mint_per_tx": one.repeat[1],
    }
    print("RESULT " + json.dumps(result))
    goals = {"settle_repeat_n100": 14_000, "settle_fresh_n100": 31_000, "settle_merged_5to1": 3_100}
    missed = [f"{name}: {result[name]} > {most}" for name, most in goals.items() if (result[name] or 0) > most]
    print("\n".join(missed) or "every goal is reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
