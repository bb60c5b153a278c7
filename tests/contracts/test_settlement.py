"""Settling rewards on a real node: what it does, what it refuses, and what it costs."""

from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak

from scripts.contract_tools import Contract
from tests.contracts.conftest import PEOPLE
from tests.contracts.local_chain import Chain, account, error_selector, recipients, word

pytestmark = pytest.mark.chain
BTRST = 10**18
ROOT = keccak(text="leaves")
SETTLED = "0x" + keccak(text="Settled(uint64,uint32,uint256,bytes32)").hex()


def gas_limit(words: int) -> int:
    """The formula the network's signer uses."""
    return 100_000 + 80_000 * words


def reward_ids(count: int) -> bytes:
    """As many ids as rewards; no byte of them is zero, as in the dearest UUIDs."""
    return bytes(1 + index % 255 for index in range(16 * count))


async def settle(chain: Chain, first_id: int, count: int, words: list[bytes]) -> dict[str, Any]:
    await chain.next_second()
    return await chain.call(
        PEOPLE["signer"],
        "rewards_minter",
        "settle",
        first_id,
        reward_ids(count),
        ROOT,
        words,
        gas=gas_limit(len(words)),
    )


def settled_log(chain: Chain, receipt: dict[str, Any]) -> tuple[int, int, int, bytes]:
    """(firstId, count, sum, leavesRoot) of the one `Settled` log."""
    minter = chain.contracts["rewards_minter"].lower()
    (log,) = [log for log in receipt["logs"] if log["address"] == minter and log["topics"][0] == SETTLED]
    count, total, root = decode(["uint32", "uint256", "bytes32"], bytes.fromhex(log["data"][2:]))
    return int(log["topics"][1], 16), count, total, root


async def test_merged_words_are_paid_and_told(chain: Chain) -> None:
    one, two = account("one").address, account("two").address
    receipt = await settle(chain, 1, 5, [word(one, 20 * BTRST), word(two, 3)])
    assert receipt["status"] == 1
    assert settled_log(chain, receipt) == (1, 5, 20 * BTRST + 3, ROOT)
    assert await chain.read("btrst", "balanceOf", one) == 20 * BTRST
    assert await chain.read("btrst", "balanceOf", two) == 3
    assert await chain.read("rewards_minter", "nextId") == 6
    assert await chain.read("btrst", "totalSupply") == 115_000_000 * BTRST + 20 * BTRST + 3


@pytest.mark.parametrize("wrong", [0, 2, 3, 5, 2**64 - 1])
async def test_a_wrong_first_id_reverts_and_mints_nothing(chain: Chain, wrong: int) -> None:
    one = account("one").address
    assert (await settle(chain, 1, 3, [word(one, 1)]))["status"] == 1
    receipt = await settle(chain, wrong, 1, [word(one, 1)])
    assert (receipt["status"], receipt["logs"]) == (0, [])
    assert await chain.read("btrst", "balanceOf", one) == 1
    why = await chain.refusal(PEOPLE["signer"], "rewards_minter", "settle", wrong, reward_ids(1), ROOT, [word(one, 1)])
    assert error_selector("WrongFirstId(uint64,uint64)") in why


async def test_the_same_chain_tx_content_cannot_pay_twice(chain: Chain) -> None:
    one = account("one").address
    assert (await settle(chain, 1, 1, [word(one, BTRST)]))["status"] == 1
    assert (await settle(chain, 1, 1, [word(one, BTRST)]))["status"] == 0
    assert await chain.read("btrst", "balanceOf", one) == BTRST


async def test_only_the_signer_settles(chain: Chain) -> None:
    words = [word(account("one").address, 1)]
    for name in ("deployer", "guardian", "submitter"):
        why = await chain.refusal(PEOPLE[name], "rewards_minter", "settle", 1, reward_ids(1), ROOT, words)
        assert error_selector("NotSigner(address)") in why


async def test_the_cap_is_exact_and_final(chain: Chain) -> None:
    one = account("one").address
    assert (await settle(chain, 1, 1, [word(one, 135_000_000 * BTRST)]))["status"] == 1
    assert await chain.read("btrst", "totalSupply") == await chain.read("btrst", "cap") == 250_000_000 * BTRST
    why = await chain.refusal(PEOPLE["signer"], "rewards_minter", "settle", 2, reward_ids(1), ROOT, [word(one, 1)])
    assert error_selector("ERC20ExceededCap(uint256,uint256)") in why
    assert await chain.read("rewards_minter", "nextId") == 2


async def test_the_guardian_pauses_and_the_pause_lapses(chain: Chain) -> None:
    until = await chain.now() + 1_000
    assert (await chain.call(PEOPLE["guardian"], "rewards_minter", "pause", until))["status"] == 1
    words = [word(account("one").address, 1)]
    why = await chain.refusal(PEOPLE["signer"], "rewards_minter", "settle", 1, reward_ids(1), ROOT, words)
    assert error_selector("MinterPaused(uint256)") in why
    await chain.pass_time(1_001)
    assert (await settle(chain, 1, 1, words))["status"] == 1


async def test_gas_of_100_rewards(chain: Chain) -> None:
    """The measured figures are printed; `-s` shows them."""
    people = recipients(0xAB, 100)
    amounts = [20 * BTRST + index for index in range(100)]
    words = [word(person, amount) for person, amount in zip(people, amounts, strict=True)]
    first = await settle(chain, 1, 100, words)
    repeat = await settle(chain, 101, 100, words)
    merged = await settle(chain, 201, 100, words[:20])
    assert [receipt["status"] for receipt in (first, repeat, merged)] == [1, 1, 1]
    per_reward = [receipt["gasUsed"] // 100 for receipt in (first, repeat, merged)]
    print(f"gas per reward at 100: first {per_reward[0]}, repeat {per_reward[1]}, merged 5:1 {per_reward[2]}")
    assert per_reward[0] <= 31_000
    assert per_reward[1] <= 14_000
    assert per_reward[2] <= 3_300


async def test_gas_of_one_reward(chain: Chain) -> None:
    person = recipients(0xCD, 1)[0]
    await settle(chain, 1, 1, [word(account("somebody else").address, 1)])
    first = await settle(chain, 2, 1, [word(person, 20 * BTRST)])
    repeat = await settle(chain, 3, 1, [word(person, 20 * BTRST)])
    print(f"gas of one reward: first {first['gasUsed']}, repeat {repeat['gasUsed']}")
    assert first["gasUsed"] <= 120_000
    assert repeat["gasUsed"] <= 103_000


async def test_the_gas_formula_covers_the_dearest_recipients(chain: Chain) -> None:
    """200 fresh accounts, each delegated to one of its own, in one chain tx."""
    delegates = recipients(0xEF, 200)
    words = []
    for index, delegatee in enumerate(delegates):
        holder = account(f"holder {index}")
        expiry = 2**40
        message = {"delegatee": delegatee, "nonce": 0, "expiry": expiry}
        signed = holder.sign_typed_data(
            {
                "name": "BTRST",
                "version": "1",
                "chainId": 31337,
                "verifyingContract": chain.contracts["btrst"],
            },
            {
                "Delegation": [
                    {"name": "delegatee", "type": "address"},
                    {"name": "nonce", "type": "uint256"},
                    {"name": "expiry", "type": "uint256"},
                ]
            },
            message,
        )
        r, s = (value.to_bytes(32, "big") for value in (signed.r, signed.s))
        await chain.call(PEOPLE["submitter"], "btrst", "delegateBySig", delegatee, 0, expiry, signed.v, r, s)
        words.append(word(holder.address, 20 * BTRST))
    receipt = await settle(chain, 1, 200, words)
    assert receipt["status"] == 1
    print(f"gas per fresh and delegated recipient at 200: {receipt['gasUsed'] // 200}")
    assert receipt["gasUsed"] <= gas_limit(200) < 2**24
    assert await chain.read("btrst", "getVotes", delegates[199]) == 20 * BTRST


def test_the_abi_is_the_documented_one() -> None:
    minter = Contract("RewardsMinter")
    assert minter.selector("settle") == keccak(text="settle(uint64,bytes,bytes32,bytes32[])")[:4]
    inputs = minter.entry("event", "Settled")["inputs"]
    assert [(item["name"], item["type"], item["indexed"]) for item in inputs] == [
        ("firstId", "uint64", True),
        ("count", "uint32", False),
        ("sum", "uint256", False),
        ("leavesRoot", "bytes32", False),
    ]
