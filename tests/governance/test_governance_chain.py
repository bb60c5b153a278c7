"""Governance on a real node with the real contracts: indexed votes, a ballot, parameters."""

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from chassis.testing import eventually
from services.governance.domain import parameters
from services.governance.workers import index_parameters, index_votes
from tests.governance.conftest import (
    ADA,
    BEN,
    BTRST,
    EVE,
    NON_VOTING,
    Start,
    Wallet,
    delegate,
    has_power,
    power_of,
    shift,
    unix,
)
from tests.governance.world import Chain

pytestmark = [pytest.mark.chain, pytest.mark.timeout(180)]


async def test_from_delegation_to_a_counted_ballot(chain: Chain, start: Start, members: dict[str, UUID]) -> None:
    async with start(**chain.settings(voting_period_seconds=600)) as service:
        before = await chain.client.balance(BEN.address)
        assert before == 0
        for wallet in (ADA, BEN):
            taken = await delegate(service, wallet)
            receipt = await chain.mined(taken["chain_tx_hash"])
            assert receipt.has_log(chain.btrst.address, chain.btrst.topic("DelegateChanged"))
        for wallet in (ADA, BEN):
            await eventually(lambda wallet=wallet: has_power(service, wallet.address, 20 * BTRST), seconds=60)
        shown = await power_of(service, ADA.address)
        assert await chain.client.read(chain.btrst, "delegates", BEN.address) == BEN.address

        made = (await service.propose()).json()
        snapshot = unix(made["snapshot_at"])
        assert made["quorum_wei"] == str(await chain.client.read(chain.governor, "quorum", snapshot))
        assert int(shown["votes_wei"]) == await chain.client.read(chain.btrst, "getPastVotes", ADA.address, snapshot)
        assert (await service.vote(made["id"], ADA, "for")).json()["weight_wei"] == str(20 * BTRST)
        assert (await service.vote(made["id"], BEN, "against")).json()["weight_wei"] == str(20 * BTRST)
        assert (await service.vote(made["id"], EVE, "for")).status_code == 403
        assert (await service.vote(made["id"], BEN, "abstain")).status_code == 200

        await shift(service, made["id"], -600)

        async def closed() -> Any:
            results = (await service.client.get(f"/v1/proposals/{made['id']}/results")).json()
            return results if results["outcome"] else None

        results = await eventually(closed, seconds=60)
        assert (results["outcome"], results["for_wei"], results["abstain_wei"]) == (
            "passed", str(20 * BTRST), str(20 * BTRST),
        )  # fmt: skip
        assert len(await service.published("governance.proposal.closed.v1")) == 1


async def test_the_calls_of_a_proposal_are_what_the_timelock_can_execute(
    chain: Chain, start: Start, members: dict[str, UUID]
) -> None:
    """The calldata that ballots name makes the next version on chain, which the service then follows."""
    settings = chain.settings(index_follow="latest", effective_after_seconds=900)
    async with start(**settings) as service:
        await chain.mined(await chain.send(ADA, chain.btrst, "delegate", ADA.address))
        await eventually(lambda: has_power(service, ADA.address, 20 * BTRST), seconds=60)
        actions = [
            {"kind": "parameter", "name": "client_fee_bps", "value": "1200"},
            {"kind": "grant", "beneficiary_id": str(members[BEN.address]), "amount_wei": str(BTRST)},
        ]
        made = (await service.propose(actions=actions)).json()
        for call in made["calls"]:
            selector = bytes.fromhex(call["calldata"][2:10])
            assert await chain.client.read(chain.governor, "callAllowed", call["target"], selector)

        await chain.client.rpc.call("anvil_impersonateAccount", chain.contracts["timelock"])
        await chain.give(chain.contracts["timelock"])
        for call in made["calls"]:
            sent = await chain.client.rpc.call(
                "eth_sendTransaction",
                {
                    "from": chain.contracts["timelock"],
                    "to": call["target"],
                    "data": call["calldata"],
                    "gas": hex(900_000),
                },
            )
            await chain.mined(sent)

        async def known() -> Any:
            newest = (await service.client.get("/v1/parameters/history")).json()["items"][0]
            return newest if newest["version"] == 1 else None

        newest = await eventually(known, seconds=60)
        assert {"name": "client_fee_bps", "value": "1200"} in newest["items"]
        assert newest["effective_at"] == made["effective_at"]
        assert (await service.client.get("/v1/parameters")).json()["version"] == 0
        (event,) = await service.published("governance.parameter.changed.v1")
        assert (event["version"], event["parameters"]["client_fee_bps"]) == (1, "1200")
        assert await chain.client.read(chain.registry, "latestVersion") == 1


async def test_our_bounds_are_the_contracts(chain: Chain) -> None:
    for name, bounds in parameters.BOUNDS.items():
        word = name.encode().ljust(32, b"\0")
        assert await chain.client.read(chain.registry, "boundsOf", word) == bounds
    assert await chain.client.read(chain.registry, "MAX_GRANT_WEI") == parameters.MAX_GRANT_WEI
    assert await chain.client.read(chain.btrst, "NON_VOTING") == NON_VOTING


async def test_the_index_agrees_with_the_token_at_every_second(chain: Chain, start: Start) -> None:
    """Transfers and delegations of three holders, several in one block: our index = getPastVotes."""
    async with start(**chain.settings(role="api")) as service:
        await chain.send(ADA, chain.btrst, "delegate", ADA.address)
        await chain.send(EVE, chain.btrst, "delegate", ADA.address)
        await chain.send(ADA, chain.btrst, "transfer", EVE.address, 3 * BTRST)
        await asyncio.sleep(1.1)
        await chain.send(EVE, chain.btrst, "delegate", EVE.address)
        await chain.send(ADA, chain.btrst, "transfer", BEN.address, 4 * BTRST)
        last = await chain.mined(await chain.send(ADA, chain.btrst, "delegate", EVE.address))

        async def indexed() -> Any:
            while await index_votes(service.context):
                pass
            power = await power_of(service, EVE.address)
            return power if power.get("block_number", 0) >= last.block_number else None

        newest = await eventually(indexed, seconds=60)
        first = await chain.client.block(1)
        assert first is not None
        compared = 0
        for second in range(first.timestamp - 1, unix(newest["at"]) + 1):
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
            for address in (ADA.address, BEN.address, EVE.address, NON_VOTING):
                answer = await service.client.get(f"/v1/voting-power/{address}", params={"at": moment})
                theirs = await chain.client.read(chain.btrst, "getPastVotes", address, second)
                assert answer.json()["votes_wei"] == str(theirs)
                compared += theirs > 0
        assert compared >= 4


async def test_a_reorganisation_takes_votes_back(chain: Chain, start: Start) -> None:
    async with start(**chain.settings(role="api", index_follow="latest")) as service:

        async def seen(wallet: Wallet, amount: int) -> bool:
            while await index_votes(service.context):
                pass
            return await has_power(service, wallet.address, amount)

        await seen(BEN, 0)
        snapshot = await chain.client.rpc.call("evm_snapshot")
        await chain.mined(await chain.send(ADA, chain.btrst, "delegate", BEN.address))
        await eventually(lambda: seen(BEN, 20 * BTRST), seconds=60)
        await chain.client.rpc.call("evm_revert", snapshot)
        await chain.client.rpc.call("evm_increaseTime", 3)
        await chain.mined(await chain.send(ADA, chain.btrst, "transfer", EVE.address, 8 * BTRST))
        await chain.mined(await chain.send(ADA, chain.btrst, "delegate", ADA.address))
        await eventually(lambda: seen(ADA, 12 * BTRST), seconds=60)
        assert await seen(BEN, 0)


async def test_a_fresh_service_reads_the_genesis_parameters_from_the_chain(chain: Chain, start: Start) -> None:
    async with start(**chain.settings(role="api")) as service:

        async def read() -> bool:
            await index_parameters(service.context)
            version = (await service.client.get("/v1/parameters")).json()
            return version["block_number"] is not None

        await eventually(read, seconds=60)
        shown = (await service.client.get("/v1/parameters")).json()
        assert shown["version"] == 0
        assert shown["effective_at"] > "2026"
        assert await service.published("governance.parameter.changed.v1") == []


async def test_a_signed_ballot_is_the_networks_own_eip712(chain: Chain, start: Start, members: dict[str, UUID]) -> None:
    """The digest recomputed from the interface's text alone, without our code."""
    from eth_abi.abi import encode
    from eth_account.messages import _hash_eip191_message, encode_typed_data

    async with start(**chain.settings(role="api")) as service:
        await service.seed({ADA.address: 20})
        made = (await service.propose()).json()
        typed = await service.ballot(made["id"], ADA, "abstain", "why not")
        text = b"Ballot(bytes32 proposal,bytes32 actionsHash,address voter,uint8 choice,uint256 nonce,string reason)"
        names = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        domain = keccak(
            encode(
                ["bytes32", "bytes32", "bytes32", "uint256", "address"],
                [keccak(names), keccak(text="BTRST Network"), keccak(text="1"), 31337, chain.contracts["governor"]],
            )
        )
        struct = keccak(
            encode(
                ["bytes32", "bytes32", "bytes32", "address", "uint8", "uint256", "bytes32"],
                [keccak(text), keccak(text=made["id"]), bytes.fromhex(made["actions_hash"][2:]), ADA.address, 2, 1,
                 keccak(text="why not")],
            )
        )  # fmt: skip
        signable = encode_typed_data(full_message=typed)
        assert _hash_eip191_message(signable) == keccak(b"\x19\x01" + domain + struct)
        assert Account.recover_message(signable, signature=ADA.sign(typed)) == ADA.address
