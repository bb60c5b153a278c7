"""Deploys the five contracts from the committed artifacts and proves from the node who holds which role.

The addresses follow from the deployer's nonces, so each contract is born knowing the others:
the deployer never holds a role. Needs no compiler, only a JSON-RPC endpoint.
`python -m scripts.deploy_contracts --help`; the command line is in `scripts/deploy_command.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from eth_account import Account
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from scripts.contract_tools import CONTRACTS, Contract, DeployError, Node, contract_address

__all__ = ["DEVELOPMENT", "PRODUCTION", "DeployError", "Deployment", "NetworkSettings", "deploy", "load_allocations"]

ALLOCATIONS_FILE = CONTRACTS / "genesis" / "allocations.json"
LOCAL_CHAIN_ID = 31337
NON_VOTING = "0x000000000000000000000000000000000000dEaD"
ZERO_ADDRESS = "0x" + "00" * 20
GENESIS_SUPPLY_WEI = 115_000_000 * 10**18
BTRST_WEI = 10**18
RECEIPT_TIMEOUT_SECONDS = 120
DEPLOYMENT_BLOCKS = 100  # no deployment spreads over more
ROLES = ("DEFAULT_ADMIN_ROLE", "MINTER_ROLE", "LOCKER_ROLE", "PROPOSER_ROLE", "EXECUTOR_ROLE", "CANCELLER_ROLE")
ARTIFACTS = {  # in the order of deployment
    "timelock": "TimelockController",
    "btrst": "BTRST",
    "rewards_minter": "RewardsMinter",
    "network_parameters": "NetworkParameters",
    "governor": "BTRSTGovernor",
}
VOTABLE_CALLS = (  # all that a proposal can ever carry
    ("network_parameters", "setParameters"),
    ("network_parameters", "approveGrant"),
    ("rewards_minter", "setLimits"),
    ("rewards_minter", "unpause"),
    ("rewards_minter", "setSigner"),
    ("rewards_minter", "setGuardian"),
    ("btrst", "appointLocker"),
    ("governor", "setSubmitter"),
)


class Deployment(TypedDict):
    """What was deployed where; `block` is the first block that holds any of it."""

    chain_id: int
    genesis_hash: str
    block: int
    contracts: dict[str, str]


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What the contracts are born with, beside addresses."""

    voting_delay_seconds: int
    voting_period_seconds: int
    late_quorum_extension_seconds: int
    proposal_threshold_wei: int
    quorum_percent: int
    quorum_floor_wei: int
    timelock_delay_seconds: int
    parameters_notice_seconds: int
    mint_capacity_wei: int
    mint_refill_wei_per_second: int


DEVELOPMENT = NetworkSettings(
    voting_delay_seconds=2,
    voting_period_seconds=30,
    late_quorum_extension_seconds=10,
    proposal_threshold_wei=BTRST_WEI,
    quorum_percent=4,
    quorum_floor_wei=BTRST_WEI,
    timelock_delay_seconds=5,
    parameters_notice_seconds=5,
    mint_capacity_wei=5_000_000 * BTRST_WEI,
    mint_refill_wei_per_second=10 * BTRST_WEI,
)
PRODUCTION = NetworkSettings(
    voting_delay_seconds=86_400,
    voting_period_seconds=5 * 86_400,
    late_quorum_extension_seconds=86_400,
    proposal_threshold_wei=500 * BTRST_WEI,
    quorum_percent=4,
    quorum_floor_wei=100_000 * BTRST_WEI,
    timelock_delay_seconds=2 * 86_400,
    parameters_notice_seconds=86_400,
    mint_capacity_wei=300_000 * BTRST_WEI,
    mint_refill_wei_per_second=12 * BTRST_WEI // 10,
)
PRESETS = {"development": DEVELOPMENT, "production": PRODUCTION}


def load_allocations(path: Path = ALLOCATIONS_FILE) -> list[tuple[str, int]]:
    """(account, wei) for each genesis allocation of the file; the treasury gets the rest.

    Raises: DeployError when the file is not such a list or gives away more than there is.
    """
    try:
        found: list[tuple[str, int]] = [
            (to_checksum_address(item["account"]), int(item["amount_wei"])) for item in json.loads(path.read_text())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{path}: not a list of account and amount_wei: {error}") from error
    if any(amount <= 0 for _, amount in found) or sum(amount for _, amount in found) > GENESIS_SUPPLY_WEI:
        raise DeployError(f"{path}: amounts must be above 0 and together at most {GENESIS_SUPPLY_WEI} wei")
    return found


def creation_arguments(
    at: Mapping[str, str],
    *,
    signer_address: str,
    submitter_address: str,
    guardian_address: str,
    settings: NetworkSettings,
    allocations: Sequence[tuple[str, int]],
    parameters: Mapping[str, int],
) -> dict[str, list[object]]:
    """What each constructor is given, by contract."""
    governor, timelock = at["governor"], at["timelock"]
    names = [name.encode().ljust(32, b"\0") for name in parameters]
    calls = []
    for owner, function in VOTABLE_CALLS:
        target = ZERO_ADDRESS if owner == "governor" else at[owner]  # zero: the governor itself
        calls.append((target, Contract(ARTIFACTS[owner]).selector(function)))
    vote = (
        settings.voting_delay_seconds,
        settings.voting_period_seconds,
        settings.late_quorum_extension_seconds,
        settings.proposal_threshold_wei,
        settings.quorum_percent,
        settings.quorum_floor_wei,
    )
    limits = [settings.mint_capacity_wei, settings.mint_refill_wei_per_second]
    return {
        "timelock": [settings.timelock_delay_seconds, [governor], [governor], ZERO_ADDRESS],
        "btrst": [timelock, at["rewards_minter"], timelock, list(allocations)],
        "rewards_minter": [at["btrst"], timelock, signer_address, guardian_address, *limits],
        "network_parameters": [timelock, settings.parameters_notice_seconds, names, list(parameters.values())],
        "governor": [at["btrst"], timelock, submitter_address, vote, calls],
    }


async def deploy(
    rpc_url: str,
    deployer_key: str,
    *,
    signer_address: str,
    submitter_address: str,
    guardian_address: str,
    settings: NetworkSettings = DEVELOPMENT,
    allocations: Sequence[tuple[str, int]] | None = None,
    parameters: Mapping[str, int] | None = None,
    record: Path | None = None,
) -> Deployment:
    """Deploys all five contracts, or returns what `record` says was deployed, once the chain confirms it.

    `allocations` defaults to `contracts/genesis/allocations.json`, `parameters` to GENESIS_PARAMETERS.
    Raises: DeployError.
    """
    node = Node(rpc_url)
    deployer = Account.from_key(deployer_key)
    chain_id = int(await node.call("eth_chainId"), 16)
    people = {"signer": signer_address, "submitter": submitter_address, "guardian": guardian_address}
    refuse_bad_people(people, deployer.address)
    if settings == DEVELOPMENT and chain_id != LOCAL_CHAIN_ID:
        raise DeployError(f"the development settings are refused on chain {chain_id}")
    genesis_hash = (await node.call("eth_getBlockByNumber", "0x0", False))["hash"]
    known = await asyncio.to_thread(read_record, record)
    if known is not None:
        await verify(node, known, deployer=deployer.address, genesis_hash=genesis_hash, chain_id=chain_id)
        return known
    first_nonce = int(await node.call("eth_getTransactionCount", deployer.address, "pending"), 16)
    at = {name: contract_address(deployer.address, first_nonce + i) for i, name in enumerate(ARTIFACTS)}
    arguments = creation_arguments(
        at,
        signer_address=signer_address,
        submitter_address=submitter_address,
        guardian_address=guardian_address,
        settings=settings,
        allocations=load_allocations() if allocations is None else allocations,
        parameters=genesis_parameters() if parameters is None else parameters,
    )
    creations = [Contract(ARTIFACTS[name]).creation(arguments[name]) for name in ARTIFACTS]
    blocks = await send_all(node, deployer_key, creations, first_nonce=first_nonce, chain_id=chain_id)
    result = Deployment(chain_id=chain_id, genesis_hash=genesis_hash, block=min(blocks), contracts=at)
    await verify(node, result, deployer=deployer.address, genesis_hash=genesis_hash, chain_id=chain_id)
    if record is not None:
        await asyncio.to_thread(write_record, record, result)
    return result


def genesis_parameters() -> Mapping[str, int]:
    """Version 0 of the network's parameters, as the events name it."""
    from events.governance import GENESIS_PARAMETERS

    return dict(GENESIS_PARAMETERS)


def refuse_bad_people(people: Mapping[str, str], deployer: str) -> None:
    """Raises: DeployError when an address is malformed, zero, or the deployer's own."""
    for role, address in people.items():
        if not is_address(address) or int(address, 16) == 0:
            raise DeployError(f"the {role}'s address is not one: {address}")
        if address.lower() == deployer.lower():
            raise DeployError(f"the deployer cannot be the {role}: it keeps no power")


async def send_all(node: Node, key: str, creations: Sequence[bytes], *, first_nonce: int, chain_id: int) -> list[int]:
    """Sends all creations at once and returns their block numbers. Raises: DeployError when one fails."""
    base_fee = int((await node.call("eth_getBlockByNumber", "latest", False))["baseFeePerGas"], 16)
    tip = int(await node.call("eth_maxPriorityFeePerGas"), 16)
    hashes = []
    for i, data in enumerate(creations):
        signed = Account.sign_transaction(
            {
                "chainId": chain_id,
                "nonce": first_nonce + i,
                "data": data,
                "value": 0,
                # Estimation would fail: a constructor may call a contract created just before it.
                "gas": 1_500_000 + 300 * len(data),
                "maxFeePerGas": 2 * base_fee + tip,
                "maxPriorityFeePerGas": tip,
            },
            key,
        )
        hashes.append(await node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    return [await mined_block(node, sent) for sent in hashes]


async def mined_block(node: Node, tx_hash: str) -> int:
    """The number of the block that holds the chain tx. Raises: DeployError when it failed or never came."""
    end = time.monotonic() + RECEIPT_TIMEOUT_SECONDS
    while time.monotonic() < end:
        receipt = await node.call("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise DeployError(f"chain tx {tx_hash} failed")
            return int(receipt["blockNumber"], 16)
        await asyncio.sleep(0.05)
    raise DeployError(f"chain tx {tx_hash} was not mined within {RECEIPT_TIMEOUT_SECONDS} s")


async def verify(node: Node, known: Deployment, *, deployer: str, genesis_hash: str, chain_id: int) -> None:
    """Asks the node whether it holds this deployment and nobody has a role who should not.

    Raises: DeployError with the first thing that is wrong.
    """
    if (known["chain_id"], known["genesis_hash"]) != (chain_id, genesis_hash):
        raise DeployError("the recorded deployment is of another chain: remove the record to deploy anew")
    at = known["contracts"]
    for name, artifact in ARTIFACTS.items():
        if not await Contract(artifact).is_at(node, at[name]):
            raise DeployError(f"the chain has other code than {artifact} at {at[name]}")
    for name, expected in expected_roles(at).items():
        held = await role_holders(node, at[name], known["block"], deployer)
        if held != expected:
            raise DeployError(f"{name}: roles should be held as {sorted(expected)} but are held as {sorted(held)}")
    await verify_links(node, at, deployer)


def role_id(name: str) -> str:
    """The bytes32 of an AccessControl role."""
    return "0x" + ("00" * 32 if name == "DEFAULT_ADMIN_ROLE" else keccak(text=name).hex())


def expected_roles(at: Mapping[str, str]) -> dict[str, set[tuple[str, str]]]:
    """(role, account) that must be held, by contract."""
    timelock_roles = {(role_id(f"{name}_ROLE"), at["governor"]) for name in ("PROPOSER", "EXECUTOR", "CANCELLER")}
    admin = (role_id("DEFAULT_ADMIN_ROLE"), at["timelock"])
    return {"btrst": {admin, (role_id("MINTER_ROLE"), at["rewards_minter"])}, "timelock": {admin} | timelock_roles}


async def role_holders(node: Node, address: str, block: int, deployer: str) -> set[tuple[str, str]]:
    """(role, account) held now, of all granted around the deployment's block, and of all the deployer could have.

    What a vote grants later is not looked for.
    """
    granted = "0x" + keccak(text="RoleGranted(bytes32,address,address)").hex()
    newest = int(await node.call("eth_blockNumber"), 16)
    window = {"fromBlock": hex(block), "toBlock": hex(min(newest, block + DEPLOYMENT_BLOCKS))}
    logs = await node.call("eth_getLogs", {"address": address, "topics": [granted], **window})
    suspects: set[tuple[str, str]] = {(log["topics"][1], to_checksum_address(log["topics"][2][-40:])) for log in logs}
    suspects |= {(role_id(name), deployer) for name in ROLES}
    access = Contract("TimelockController")
    held: set[tuple[str, str]] = set()
    for role, account in suspects:
        if await access.read(node, address, "hasRole", bytes.fromhex(role[2:]), account):
            held.add((role, account))
    return held


async def verify_links(node: Node, at: Mapping[str, str], deployer: str) -> None:
    """Raises: DeployError when a contract obeys someone else than the timelock, or a member's key is the deployer's."""
    links = (
        ("rewards_minter", "timelock", at["timelock"]),
        ("rewards_minter", "token", at["btrst"]),
        ("network_parameters", "timelock", at["timelock"]),
        ("governor", "timelock", at["timelock"]),
        ("governor", "token", at["btrst"]),
        ("btrst", "treasury", at["timelock"]),
    )
    for name, function, expected in links:
        found = await Contract(ARTIFACTS[name]).read(node, at[name], function)
        if found.lower() != expected.lower():
            raise DeployError(f"{name}.{function}() is {found}, not {expected}")
    for name, function in (("rewards_minter", "signer"), ("rewards_minter", "guardian"), ("governor", "submitter")):
        if (await Contract(ARTIFACTS[name]).read(node, at[name], function)).lower() == deployer.lower():
            raise DeployError(f"the deployer is the {function}")
    delegatee = await Contract("BTRST").read(node, at["btrst"], "delegates", at["timelock"])
    if delegatee.lower() != NON_VOTING.lower():
        raise DeployError(f"the treasury's votes are delegated to {delegatee}")


def read_record(path: Path | None) -> Deployment | None:
    """What an earlier run wrote, if any. Raises: DeployError when the file is no such record."""
    if path is None or not path.exists():
        return None
    try:
        found: Deployment = json.loads(path.read_text())
        complete = found.keys() >= Deployment.__required_keys__ and found["contracts"].keys() >= ARTIFACTS.keys()
    except (ValueError, AttributeError, KeyError) as error:
        raise DeployError(f"{path}: not a deployment record: {error}") from error
    if not complete:
        raise DeployError(f"{path}: not a deployment record: something is missing")
    return found


def write_record(path: Path, deployment: Deployment) -> None:
    """Writes the record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(json.dumps(deployment, indent=2) + "\n")
    scratch.rename(path)


if __name__ == "__main__":
    from scripts.deploy_command import main

    sys.exit(main())
