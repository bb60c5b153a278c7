"""The rules of governance: bounds, calldata, typed data, times, quorum and outcome."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import Web3

from chassis.chain.artifacts import load_artifact
from chassis.ids import new_id
from chassis.signatures import recover_digest
from events.governance import GENESIS_PARAMETERS
from services.governance.domain import calls, parameters, proposals, typed_data

pytestmark = pytest.mark.unit

TARGET = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
REGISTRY = Web3().eth.contract(address=TARGET, abi=load_artifact("NetworkParameters").abi)
NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
VOTERS = Account.from_key("0x" + "11" * 32)

wei = st.integers(0, 250_000_000 * 10**18)
choices = st.sampled_from(get_args(typed_data.Choice))


def words(values: dict[str, int]) -> list[bytes]:
    return [name.encode().ljust(32, b"\0") for name in sorted(values)]


def test_the_changed_set_is_the_whole_set_in_order_of_names() -> None:
    changed = parameters.changed_set(GENESIS_PARAMETERS, [("connector_reward_bps", 150)])
    assert changed == {**GENESIS_PARAMETERS, "connector_reward_bps": 150}
    assert list(changed) == sorted(GENESIS_PARAMETERS)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([("talent_fee_bps", 1)], "unknown_parameter"),
        ([("client_fee_bps", 10_001)], "parameter_out_of_bounds"),
        ([("epoch_seconds", 59)], "parameter_out_of_bounds"),
        ([("epoch_budget_wei", 135_000_000 * 10**18 + 1)], "parameter_out_of_bounds"),
        ([("client_fee_bps", 900), ("client_fee_bps", 900)], "repeated_parameter"),
        ([("connector_reward_bps", 251)], "reward_above_quarter_of_fee"),
        ([("client_fee_bps", 399)], "reward_above_quarter_of_fee"),
    ],
)
def test_a_set_the_contract_would_refuse_is_refused(changes: list[tuple[str, int]], code: str) -> None:
    with pytest.raises(parameters.ParameterRefused) as refused:
        parameters.changed_set(GENESIS_PARAMETERS, changes)
    assert refused.value.code == code


def test_fee_and_reward_may_move_together() -> None:
    changed = parameters.changed_set(GENESIS_PARAMETERS, [("connector_reward_bps", 500), ("client_fee_bps", 2_000)])
    assert (changed["connector_reward_bps"], changed["client_fee_bps"]) == (500, 2_000)


@settings(max_examples=50)
@given(version=st.integers(0, 2**64 - 1), budget=wei, start=st.integers(0, 2**64 - 1))
def test_set_parameters_is_encoded_as_web3_does(version: int, budget: int, start: int) -> None:
    values = {**GENESIS_PARAMETERS, "epoch_budget_wei": budget}
    ours = calls.set_parameters(TARGET, expected_version=version, values=values, effective_from=start)
    ordered = [values[name] for name in sorted(values)]
    theirs = REGISTRY.encode_abi("setParameters", args=[version, words(values), ordered, start])
    assert "0x" + ours.calldata.hex() == theirs
    assert (ours.target, ours.value_wei) == (TARGET, 0)


@settings(max_examples=50)
@given(amount=wei, ids=st.tuples(st.uuids(), st.uuids()))
def test_approve_grant_is_encoded_as_web3_does(amount: int, ids: tuple[UUID, UUID]) -> None:
    ours = calls.approve_grant(TARGET, calls.Grant(*ids, amount))
    padded = [each.bytes + bytes(16) for each in ids]
    assert "0x" + ours.calldata.hex() == REGISTRY.encode_abi("approveGrant", args=[*padded, amount])


def test_the_actions_hash_covers_targets_values_and_calldata() -> None:
    some = [calls.Call(TARGET, b"\x01\x02"), calls.Call(TARGET, b"")]
    expected = keccak(encode(["address[]", "uint256[]", "bytes[]"], [[TARGET] * 2, [0, 0], [b"\x01\x02", b""]]))
    assert calls.actions_hash(some) == "0x" + expected.hex()
    assert calls.actions_hash(some) != calls.actions_hash(some[::-1])
    assert calls.actions_hash(some) != calls.actions_hash([calls.Call(TARGET, b"\x01\x03"), some[1]])


@settings(max_examples=60)
@given(
    proposal_id=st.uuids(),
    actions=st.binary(min_size=32, max_size=32),
    choice=choices,
    nonce=st.integers(1, 2**53 - 1),
    reason=st.text(max_size=80),
    chain_id=st.integers(1, 2**53),
)
def test_the_ballot_digest_is_eth_accounts(  # noqa: PLR0917
    proposal_id: UUID, actions: bytes, choice: typed_data.Choice, nonce: int, reason: str, chain_id: int
) -> None:
    domain = typed_data.ballot_domain(chain_id, TARGET)
    ballot = typed_data.Ballot(proposal_id, "0x" + actions.hex(), VOTERS.address, choice, nonce, reason)
    shown = typed_data.ballot_json(domain, ballot)
    signable = encode_typed_data(full_message=shown)
    assert typed_data.ballot_digest(domain, ballot) == keccak(b"\x19\x01" + signable.header + signable.body)
    signature = "0x" + VOTERS.sign_typed_data(full_message=shown).signature.hex().removeprefix("0x")
    assert recover_digest(typed_data.ballot_digest(domain, ballot), signature) == VOTERS.address


@settings(max_examples=40)
@given(nonce=st.integers(0, 2**53 - 1), expiry=st.integers(0, 2**256 - 1))
def test_the_delegation_digest_is_eth_accounts(nonce: int, expiry: int) -> None:
    domain = typed_data.SigningDomain("BTRST", "1", 31337, TARGET)
    delegation = typed_data.Delegation(VOTERS.address, nonce, expiry)
    signable = encode_typed_data(full_message=typed_data.delegation_json(domain, delegation))
    assert typed_data.delegation_digest(domain, delegation) == keccak(b"\x19\x01" + signable.header + signable.body)


def test_a_ballot_is_bound_to_everything_it_names() -> None:
    base = typed_data.Ballot(new_id(), "0x" + "aa" * 32, VOTERS.address, "for", 1, "")
    domain = typed_data.ballot_domain(31337, TARGET)
    others = [
        (domain, typed_data.Ballot(new_id(), base.actions_hash, base.voter, "for", 1, "")),
        (domain, typed_data.Ballot(base.proposal_id, "0x" + "ab" * 32, base.voter, "for", 1, "")),
        (domain, typed_data.Ballot(base.proposal_id, base.actions_hash, TARGET, "for", 1, "")),
        (domain, typed_data.Ballot(base.proposal_id, base.actions_hash, base.voter, "against", 1, "")),
        (domain, typed_data.Ballot(base.proposal_id, base.actions_hash, base.voter, "for", 2, "")),
        (domain, typed_data.Ballot(base.proposal_id, base.actions_hash, base.voter, "for", 1, "x")),
        (typed_data.ballot_domain(1, TARGET), base),
        (typed_data.ballot_domain(31337, VOTERS.address), base),
    ]
    digests = {typed_data.ballot_digest(*each) for each in [(domain, base), *others]}
    assert len(digests) == len(others) + 1


@given(delay=st.integers(0, 10**6), period=st.integers(1, 10**6), after=st.integers(1, 10**6))
def test_the_parameters_take_effect_whole_seconds_after_the_close(delay: int, period: int, after: int) -> None:
    times = proposals.schedule(NOW, delay_seconds=delay, period_seconds=period, effective_after_seconds=after)
    assert times.closes_at - times.opens_at == timedelta(seconds=period)
    late = proposals.from_unix(times.effective_from) - (times.closes_at + timedelta(seconds=after))
    assert timedelta(0) <= late < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stored", "seconds", "taken"),
    [("pending", -1, False), ("pending", 0, True), ("open", 0, True), ("open", 59, True), ("open", 60, False),
     ("passed", 30, False), ("cancelled", 30, False)],
)  # fmt: skip
def test_ballots_are_taken_by_the_clock(stored: proposals.Status, seconds: int, taken: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    times = {"opens_at": NOW, "closes_at": NOW + timedelta(seconds=60)}
    assert proposals.takes_ballots(stored, now=now, **times) is taken


@given(st.lists(st.tuples(choices, wei), max_size=30))
def test_the_tally_adds_up_whatever_the_order(ballots: list[tuple[typed_data.Choice, int]]) -> None:
    single = [(choice, weight, 1) for choice, weight in ballots]
    counted = proposals.tally(single)
    assert counted == proposals.tally(reversed(single))
    assert counted.for_wei + counted.against_wei + counted.abstain_wei == sum(weight for _, weight in ballots)
    assert counted.ballots == len(ballots)


@given(supply=wei, silent=wei, percent=st.integers(0, 100), floor=wei)
def test_the_quorum_is_never_below_the_floor(supply: int, silent: int, percent: int, floor: int) -> None:
    silent = min(silent, supply)
    quorum = proposals.quorum_wei(total_supply_wei=supply, non_voting_wei=silent, percent=percent, floor_wei=floor)
    assert quorum >= floor
    assert quorum == max(floor, (supply - silent) * percent // 100)


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (proposals.Tally(20, 20), "rejected"),
        (proposals.Tally(21, 20), "passed"),
        (proposals.Tally(9, 0), "rejected"),
        (proposals.Tally(9, 0, 1), "passed"),
        (proposals.Tally(0, 0, 40), "rejected"),
        (proposals.Tally(9, 30), "rejected"),
    ],
)
def test_a_proposal_passes_by_majority_and_quorum(counted: proposals.Tally, expected: str) -> None:
    assert proposals.outcome(counted, 10) == expected


@given(a=wei, b=wei, c=wei, quorum=wei, more=st.integers(1, 10**18))
def test_more_votes_against_never_help(a: int, b: int, c: int, quorum: int, more: int) -> None:
    if proposals.outcome(proposals.Tally(a, b, c), quorum) == "rejected":
        assert proposals.outcome(proposals.Tally(a, b + more, c), quorum) == "rejected"
