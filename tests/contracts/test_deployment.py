"""Deployment by the script: quick, repeatable, and the deployer keeps nothing."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from events.governance import GENESIS_PARAMETERS
from scripts import deploy_contracts
from scripts.contract_tools import Contract, DeployError
from scripts.deploy_contracts import (
    DEVELOPMENT,
    NON_VOTING,
    PRODUCTION,
    ROLES,
    VOTABLE_CALLS,
    deploy,
    load_allocations,
    role_id,
)
from tests.contracts.conftest import PEOPLE, addresses
from tests.contracts.local_chain import Chain, account, anvil, ticker

pytestmark = pytest.mark.chain
KEY = PEOPLE["deployer"].key.hex()


async def nonce_of_deployer(chain: Chain) -> int:
    return int(await chain.node.call("eth_getTransactionCount", PEOPLE["deployer"].address, "latest"), 16)


async def test_the_deployer_holds_no_role_and_was_never_granted_one(chain: Chain) -> None:
    for name in ("btrst", "timelock"):
        for role in ROLES:
            identifier = bytes.fromhex(role_id(role)[2:])
            assert not await chain.read(name, "hasRole", identifier, PEOPLE["deployer"].address)
    topics = ["0x" + keccak(text="RoleGranted(bytes32,address,address)").hex(), None]
    mine = "0x" + PEOPLE["deployer"].address[2:].lower().rjust(64, "0")
    logs = await chain.node.call("eth_getLogs", {"fromBlock": "0x0", "topics": [*topics, mine]})
    assert logs == []
    assert await chain.node.call("eth_getLogs", {"fromBlock": "0x0", "topics": topics[:1]}) != []


async def test_the_roles_are_where_they_belong(chain: Chain) -> None:
    at = chain.contracts
    assert await chain.read("btrst", "hasRole", keccak(text="MINTER_ROLE"), at["rewards_minter"])
    assert await chain.read("btrst", "hasRole", bytes(32), at["timelock"])
    assert await chain.read("timelock", "hasRole", bytes(32), at["timelock"])
    for role in ("PROPOSER_ROLE", "EXECUTOR_ROLE", "CANCELLER_ROLE"):
        assert await chain.read("timelock", "hasRole", keccak(text=role), at["governor"])
        assert not await chain.read("timelock", "hasRole", keccak(text=role), "0x" + "00" * 20)
    assert await chain.read("rewards_minter", "signer") == PEOPLE["signer"].address.lower()
    assert await chain.read("rewards_minter", "guardian") == PEOPLE["guardian"].address.lower()
    assert await chain.read("governor", "submitter") == PEOPLE["submitter"].address.lower()


async def test_the_contracts_are_born_with_the_settings(chain: Chain) -> None:
    assert await chain.read("governor", "votingPeriod") == DEVELOPMENT.voting_period_seconds
    assert await chain.read("governor", "votingDelay") == DEVELOPMENT.voting_delay_seconds
    assert await chain.read("governor", "proposalThreshold") == DEVELOPMENT.proposal_threshold_wei
    assert await chain.read("governor", "quorumFloor") == DEVELOPMENT.quorum_floor_wei
    assert await chain.read("timelock", "getMinDelay") == DEVELOPMENT.timelock_delay_seconds
    assert await chain.read("rewards_minter", "nextId") == 1
    for name, value in GENESIS_PARAMETERS.items():
        assert await chain.read("network_parameters", "valueAt", 0, name.encode().ljust(32, b"\0")) == value
    assert await chain.read("btrst", "balanceOf", chain.contracts["timelock"]) == 115_000_000 * 10**18
    assert await chain.read("btrst", "delegates", chain.contracts["timelock"]) == NON_VOTING.lower()


async def test_the_votable_calls_are_the_listed_ones(chain: Chain) -> None:
    for owner, function in VOTABLE_CALLS:
        selector = Contract(deploy_contracts.ARTIFACTS[owner]).selector(function)
        assert await chain.read("governor", "callAllowed", chain.contracts[owner], selector), function
    grant_role = Contract("BTRST").selector("grantRole")
    assert not await chain.read("governor", "callAllowed", chain.contracts["btrst"], grant_role)


async def test_a_second_run_finds_the_first_and_sends_nothing(node_url: str, tmp_path: Path) -> None:
    chain = Chain(node_url)
    await chain.fund(PEOPLE["deployer"])
    record = tmp_path / "run" / "deployment.json"
    first = await deploy(node_url, KEY, record=record, **addresses())
    nonce = await nonce_of_deployer(chain)
    assert await deploy(node_url, KEY, record=record, **addresses()) == first
    assert await nonce_of_deployer(chain) == nonce
    assert first["block"] > 0
    assert first["chain_id"] == 31337


async def test_a_record_whose_code_is_gone_or_changed_is_refused(node_url: str, tmp_path: Path) -> None:
    chain = Chain(node_url)
    await chain.fund(PEOPLE["deployer"])
    record = tmp_path / "deployment.json"
    first = await deploy(node_url, KEY, record=record, **addresses())
    minter = first["contracts"]["rewards_minter"]
    code = await chain.node.call("eth_getCode", minter, "latest")
    last_byte = "01" if code.endswith("00") else "00"
    await chain.node.call("anvil_setCode", minter, code[:-2] + last_byte)
    with pytest.raises(DeployError, match="other code than RewardsMinter"):
        await deploy(node_url, KEY, record=record, **addresses())


async def test_a_record_of_another_chain_is_refused(node_url: str, tmp_path: Path) -> None:
    chain = Chain(node_url)
    await chain.fund(PEOPLE["deployer"])
    record = tmp_path / "deployment.json"
    first = await deploy(node_url, KEY, record=record, **addresses())
    record.write_text(json.dumps(first | {"genesis_hash": "0x" + "11" * 32}))
    with pytest.raises(DeployError, match="another chain"):
        await deploy(node_url, KEY, record=record, **addresses())
    record.write_text('{"chain_id": 31337}')
    with pytest.raises(DeployError, match="not a deployment record"):
        await deploy(node_url, KEY, record=record, **addresses())


@pytest.mark.parametrize("role", ["signer", "submitter", "guardian"])
async def test_the_deployer_cannot_keep_power_under_another_name(node_url: str, role: str) -> None:
    people = addresses() | {f"{role}_address": PEOPLE["deployer"].address}
    with pytest.raises(DeployError, match=f"cannot be the {role}"):
        await deploy(node_url, KEY, **people)


async def test_a_role_the_deployer_got_afterwards_is_noticed(node_url: str, tmp_path: Path) -> None:
    chain = Chain(node_url)
    await chain.fund(PEOPLE["deployer"])
    record = tmp_path / "deployment.json"
    first = await deploy(node_url, KEY, record=record, **addresses())
    timelock = first["contracts"]["timelock"]
    grant = Contract("BTRST").calldata("grantRole", bytes(32), PEOPLE["deployer"].address)
    await chain.node.call("anvil_setBalance", timelock, hex(10**18))
    await chain.node.call("anvil_impersonateAccount", timelock)
    call = {"from": timelock, "to": first["contracts"]["btrst"], "data": "0x" + grant.hex()}
    await chain.node.call("eth_sendTransaction", call)
    with pytest.raises(DeployError, match="btrst: roles should be held"):
        await deploy(node_url, KEY, record=record, **addresses())


async def test_deploys_within_5_seconds_when_blocks_come_from_outside() -> None:
    with anvil("--no-mining", "--slots-in-an-epoch", "1") as url, ticker(url, 0.5):
        await Chain(url).fund(PEOPLE["deployer"])
        start = time.monotonic()
        await deploy(url, KEY, **addresses())
        assert time.monotonic() - start < 5


async def test_production_settings_deploy_and_development_ones_stay_at_home() -> None:
    with anvil("--chain-id", "5042") as url:
        chain = Chain(url)
        await chain.fund(PEOPLE["deployer"])
        with pytest.raises(DeployError, match="refused on chain 5042"):
            await deploy(url, KEY, settings=DEVELOPMENT, **addresses())
        result = await deploy(url, KEY, settings=PRODUCTION, **addresses())
        chain.contracts = result["contracts"]
        assert await chain.read("timelock", "getMinDelay") == 2 * 86_400
        assert await chain.read("governor", "votingPeriod") == 5 * 86_400


async def test_a_failed_creation_is_told(node_url: str) -> None:
    await Chain(node_url).fund(PEOPLE["deployer"])
    settings = dataclasses.replace(DEVELOPMENT, voting_period_seconds=0)
    with pytest.raises(DeployError, match="failed"):
        await deploy(node_url, KEY, settings=settings, **addresses())


async def test_a_node_that_is_away_is_told() -> None:
    with pytest.raises(DeployError, match="does not answer"):
        await deploy("http://127.0.0.1:9", KEY, **addresses())


def test_allocations_come_from_a_file_and_stay_within_the_genesis_supply(tmp_path: Path) -> None:
    path = tmp_path / "allocations.json"
    holder = account("holder").address
    path.write_text(json.dumps([{"account": holder.lower(), "amount_wei": "5"}]))
    assert load_allocations(path) == [(holder, 5)]
    for bad in ("{", '[{"account": "0x12", "amount_wei": "1"}]', json.dumps([{"account": holder}])):
        path.write_text(bad)
        with pytest.raises(DeployError, match="not a list"):
            load_allocations(path)
    for amount in (0, -1, 115_000_000 * 10**18 + 1):
        path.write_text(json.dumps([{"account": holder, "amount_wei": str(amount)}]))
        with pytest.raises(DeployError, match="amounts must be"):
            load_allocations(path)


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_the_command_line_deploys(node_url: str, tmp_path: Path) -> None:
    await Chain(node_url).fund(PEOPLE["deployer"])
    allocations = tmp_path / "allocations.json"
    holder = account("holder").address
    allocations.write_text(json.dumps([{"account": holder, "amount_wei": str(7 * 10**18)}]))
    command = [sys.executable, "-m", "scripts.deploy_contracts", "--rpc-url", node_url, "--preset", "development"]
    for name in ("signer", "submitter", "guardian"):
        command += [f"--{name}", PEOPLE[name].address]
    command += ["--allocations", str(allocations)]
    without_key = {key: value for key, value in os.environ.items() if key != "DEPLOYER_KEY"}
    refused = await asyncio.to_thread(run, command, without_key)
    assert (refused.returncode, refused.stderr) == (2, "DEPLOYER_KEY is not set\n")
    done = await asyncio.to_thread(run, command, without_key | {"DEPLOYER_KEY": KEY})
    assert done.returncode == 0, done.stderr
    chain = Chain(node_url, json.loads(done.stdout)["contracts"])
    assert await chain.read("btrst", "balanceOf", holder) == 7 * 10**18
    assert await chain.read("btrst", "totalSupply") == 115_000_000 * 10**18
