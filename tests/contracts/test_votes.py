"""A vote from delegation to effect, every member's part signed and relayed: members need no ether."""

from typing import Any

import pytest
from eth_abi.abi import decode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from events.governance import GENESIS_PARAMETERS
from scripts.deploy_contracts import DEVELOPMENT
from tests.contracts.conftest import PEOPLE
from tests.contracts.local_chain import Chain, account, calldata, error_selector, word

pytestmark = pytest.mark.chain
BTRST = 10**18
PENDING, ACTIVE, CANCELED, DEFEATED, SUCCEEDED, QUEUED, EXPIRED, EXECUTED = range(8)
RELAY = PEOPLE["submitter"]
MEMBERS = (account("member one"), account("member two"))


def domain(name: str, chain: Chain, contract: str) -> dict[str, Any]:
    """The EIP-712 domain of a contract."""
    return {"name": name, "version": "1", "chainId": 31337, "verifyingContract": chain.contracts[contract]}


async def earn_and_delegate(chain: Chain, member: LocalAccount) -> dict[str, Any]:
    """Mints 20 BTRST to the member, who delegates to themselves by signature; the relay's receipt."""
    first = await chain.read("rewards_minter", "nextId")
    words = [word(member.address, 20 * BTRST)]
    await chain.call(PEOPLE["signer"], "rewards_minter", "settle", first, bytes(16), bytes(32), words)
    nonce = await chain.read("btrst", "nonces", member.address)
    fields = (("delegatee", "address"), ("nonce", "uint256"), ("expiry", "uint256"))
    types = {"Delegation": [{"name": name, "type": kind} for name, kind in fields]}
    message = {"delegatee": member.address, "nonce": nonce, "expiry": 2**40}
    signed = member.sign_typed_data(domain("BTRST", chain, "btrst"), types, message)
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    return await chain.call(RELAY, "btrst", "delegateBySig", member.address, nonce, 2**40, signed.v, r, s)


async def ballot(chain: Chain, member: LocalAccount, proposal_id: int, support: int) -> bytes:
    """The member's signature of OpenZeppelin's `Ballot` under the nonce keyed by the proposal."""
    nonce = await chain.read("governor", "nonces", member.address, proposal_id % 2**192)
    assert nonce >> 64 == proposal_id % 2**192
    fields = (("proposalId", "uint256"), ("support", "uint8"), ("voter", "address"), ("nonce", "uint256"))
    types = {"Ballot": [{"name": name, "type": kind} for name, kind in fields]}
    message = {"proposalId": proposal_id, "support": support, "voter": member.address, "nonce": nonce}
    return bytes(member.sign_typed_data(domain("BTRST Governor", chain, "governor"), types, message).signature)


class Proposal:
    """One call, proposed by the service's submitter."""

    def __init__(self, chain: Chain, target: str, data: bytes) -> None:
        self.chain = chain
        self.call = ([chain.contracts[target]], [0], [data])
        self.description = f"Raise the reward#tally=0x{'12' * 32}#proposer={RELAY.address}"
        self.hash = keccak(text=self.description)

    async def propose(self) -> int:
        receipt = await self.chain.call(RELAY, "governor", "propose", *self.call, self.description)
        assert receipt["status"] == 1
        return int(await self.chain.read("governor", "hashProposal", *self.call, self.hash))

    async def step(self, function: str) -> dict[str, Any]:
        return await self.chain.call(RELAY, "governor", function, *self.call, self.hash)


async def new_reward_rate(chain: Chain, bps: int) -> Proposal:
    values = GENESIS_PARAMETERS | {"connector_reward_bps": bps}
    names = [name.encode().ljust(32, b"\0") for name in values]
    effective = await chain.now() + 600
    data = calldata("network_parameters", "setParameters", 0, names, list(values.values()), effective)
    return Proposal(chain, "network_parameters", data)


async def vote_through(chain: Chain, proposal: Proposal) -> dict[str, Any]:
    proposal_id = await proposal.propose()
    await chain.pass_time(DEVELOPMENT.voting_delay_seconds + 1)
    for member in MEMBERS:
        signature = await ballot(chain, member, proposal_id, 1)
        receipt = await chain.call(RELAY, "governor", "castVoteBySig", proposal_id, 1, member.address, signature)
        assert receipt["status"] == 1
    await chain.pass_time(DEVELOPMENT.voting_period_seconds + DEVELOPMENT.late_quorum_extension_seconds)
    assert await chain.read("governor", "state", proposal_id) == SUCCEEDED
    assert (await proposal.step("queue"))["status"] == 1
    assert await chain.read("governor", "state", proposal_id) == QUEUED
    await chain.pass_time(DEVELOPMENT.timelock_delay_seconds)
    receipt = await proposal.step("execute")
    assert await chain.read("governor", "state", proposal_id) == EXECUTED
    return receipt


async def test_two_connectors_with_20_btrst_each_change_a_parameter(chain: Chain) -> None:
    for member in MEMBERS:
        assert (await earn_and_delegate(chain, member))["status"] == 1
        assert await chain.read("btrst", "getVotes", member.address) == 20 * BTRST
        assert await chain.node.call("eth_getBalance", member.address, "latest") == "0x0"
    await chain.pass_time(1)
    receipt = await vote_through(chain, await new_reward_rate(chain, 150))
    topic = "0x" + keccak(text="ParametersSet(uint64,bytes32[],uint256[],uint64)").hex()
    (log,) = [log for log in receipt["logs"] if log["topics"][0] == topic]
    names, values, _ = decode(["bytes32[]", "uint256[]", "uint64"], bytes.fromhex(log["data"][2:]))
    told = {name.rstrip(b"\0").decode(): value for name, value in zip(names, values, strict=True)}
    assert int(log["topics"][1], 16) == 1
    assert told == GENESIS_PARAMETERS | {"connector_reward_bps": 150}
    rate = b"connector_reward_bps".ljust(32, b"\0")
    assert await chain.read("network_parameters", "valueOf", rate) == 100
    await chain.pass_time(600)
    assert await chain.read("network_parameters", "valueOf", rate) == 150


async def test_a_voted_grant_is_told_with_its_ids(chain: Chain) -> None:
    for member in MEMBERS:
        await earn_and_delegate(chain, member)
    await chain.pass_time(1)
    grant, beneficiary = bytes(range(16)).ljust(32, b"\0"), bytes(range(16, 32)).ljust(32, b"\0")
    data = calldata("network_parameters", "approveGrant", grant, beneficiary, 500 * BTRST)
    receipt = await vote_through(chain, Proposal(chain, "network_parameters", data))
    topic = "0x" + keccak(text="GrantApproved(bytes32,bytes32,uint256)").hex()
    (log,) = [log for log in receipt["logs"] if log["topics"][0] == topic]
    assert [bytes.fromhex(item[2:]) for item in log["topics"][1:]] == [grant, beneficiary]
    assert int(log["data"], 16) == 500 * BTRST


async def test_ballots_of_two_proposals_can_be_relayed_in_any_order(chain: Chain) -> None:
    member = MEMBERS[0]
    await earn_and_delegate(chain, member)
    await chain.pass_time(1)
    ids = [await (await new_reward_rate(chain, bps)).propose() for bps in (150, 200)]
    await chain.pass_time(DEVELOPMENT.voting_delay_seconds + 1)
    signatures = {proposal_id: await ballot(chain, member, proposal_id, 0) for proposal_id in ids}
    for proposal_id in reversed(ids):
        signature = signatures[proposal_id]
        receipt = await chain.call(RELAY, "governor", "castVoteBySig", proposal_id, 0, member.address, signature)
        assert receipt["status"] == 1
        assert await chain.read("governor", "hasVoted", proposal_id, member.address)
    again = (ids[0], 0, member.address, signatures[ids[0]])
    why = await chain.refusal(RELAY, "governor", "castVoteBySig", *again)
    assert error_selector("GovernorInvalidSignature(address)") in why


async def test_a_ballot_counts_for_its_choice_and_proposal_only(chain: Chain) -> None:
    member = MEMBERS[0]
    await earn_and_delegate(chain, member)
    await chain.pass_time(1)
    first, second = [await (await new_reward_rate(chain, bps)).propose() for bps in (150, 200)]
    await chain.pass_time(DEVELOPMENT.voting_delay_seconds + 1)
    signature = await ballot(chain, member, first, 1)
    for proposal_id, support, voter in ((first, 0, member), (second, 1, member), (first, 1, MEMBERS[1])):
        arguments = (proposal_id, support, voter.address, signature)
        why = await chain.refusal(RELAY, "governor", "castVoteBySig", *arguments)
        assert error_selector("GovernorInvalidSignature(address)") in why


async def test_a_spent_delegation_cannot_be_relayed_again(chain: Chain) -> None:
    member = MEMBERS[0]
    assert (await earn_and_delegate(chain, member))["status"] == 1
    types = {
        "Delegation": [
            {"name": n, "type": t} for n, t in (("delegatee", "address"), ("nonce", "uint256"), ("expiry", "uint256"))
        ]
    }
    message = {"delegatee": member.address, "nonce": 0, "expiry": 2**40}
    signed = member.sign_typed_data(domain("BTRST", chain, "btrst"), types, message)
    signature = (signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
    why = await chain.refusal(RELAY, "btrst", "delegateBySig", member.address, 0, 2**40, *signature)
    assert error_selector("InvalidAccountNonce(address,uint256)") in why


async def test_the_submitter_cannot_propose_what_is_not_on_the_list(chain: Chain) -> None:
    role = keccak(text="MINTER_ROLE")
    data = calldata("btrst", "grantRole", role, RELAY.address)
    proposal = Proposal(chain, "btrst", data)
    why = await chain.refusal(RELAY, "governor", "propose", *proposal.call, proposal.description)
    assert error_selector("GovernorCallNotAllowed(address,bytes4)") in why
    elsewhere = (await new_reward_rate(chain, 150)).call
    why = await chain.refusal(RELAY, "governor", "propose", *elsewhere, "no proposer named")
    assert error_selector("GovernorRestrictedProposer(address)") in why
