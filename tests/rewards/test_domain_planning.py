"""Planning of a settlement, its packed words, its Merkle leaves, and reading one back."""

from datetime import UTC, datetime

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ids import new_id
from services.rewards.domain.leaves import KINDS, Leaf, merkle_path, merkle_root, verify_path
from services.rewards.domain.planning import (
    GAS_CAP,
    MAX_REWARDS,
    MAX_WORDS,
    Candidate,
    Limits,
    bucket_room,
    epoch_of,
    gas_limit,
    pack_word,
    packed_words,
    plan_batch,
    unpack_word,
)
from services.rewards.domain.recovery import Known, share_out, split_reward_ids
from services.rewards.domain.states import Reason
from services.rewards.errors import SettlementMismatch

pytestmark = pytest.mark.unit
AMPLE = Limits(bucket_wei=10**30, epoch_wei=10**30, room_wei=10**30, largest_wei=10**28)


def _address(number: int) -> str:
    return "0x" + number.to_bytes(20, "big").hex()


def _candidate(amount: int, member: int = 1) -> Candidate:
    from uuid import UUID

    return Candidate(new_id(), UUID(int=member), _address(member), amount)


def test_first_in_first_out_and_one_word_per_recipient():
    queue = [_candidate(5, 1), _candidate(7, 2), _candidate(11, 1)]
    plan = plan_batch(queue, {}, AMPLE)
    assert [line.reward_id for line in plan.lines] == [each.reward_id for each in queue]
    assert [unpack_word(word) for word in packed_words(plan.lines)] == [(_address(1), 16), (_address(2), 7)]
    assert plan.sum_wei == 23


def test_earlier_refunds_are_set_off_first_and_a_used_up_reward_has_no_word():
    queue = [_candidate(5, 1), _candidate(7, 1), _candidate(3, 2)]
    plan = plan_batch(queue, {queue[0].beneficiary_id: 6}, AMPLE)
    assert [line.offset_wei for line in plan.lines] == [5, 1, 0]
    assert [line.net_wei for line in plan.lines] == [0, 6, 3]
    assert plan.receivables[queue[0].beneficiary_id] == 0
    assert [unpack_word(word) for word in packed_words(plan.lines)] == [(_address(1), 6), (_address(2), 3)]


def test_what_does_not_fit_is_held_and_blocks_nothing():
    queue = [_candidate(50, 1), _candidate(60, 2), _candidate(40, 3)]
    tight = Limits(bucket_wei=10**9, epoch_wei=95, room_wei=10**9, largest_wei=10**9)
    plan = plan_batch(queue, {}, tight)
    assert [line.amount_wei for line in plan.lines] == [50, 40]
    assert plan.held == [(queue[1].reward_id, Reason.EPOCH_BUDGET)]
    capped = plan_batch(queue, {}, Limits(10**9, 10**9, 40, 10**9))
    assert [reason for _, reason in capped.held] == [Reason.SUPPLY_CAP, Reason.SUPPLY_CAP]
    huge = plan_batch(queue, {}, Limits(10**9, 10**9, 10**9, 55))
    assert huge.held == [(queue[1].reward_id, Reason.UNDER_REVIEW)]


def test_an_empty_bucket_ends_the_plan_without_holding_anything():
    queue = [_candidate(50, 1), _candidate(60, 2), _candidate(40, 3)]
    plan = plan_batch(queue, {}, Limits(bucket_wei=100, epoch_wei=10**9, room_wei=10**9, largest_wei=10**9))
    assert [line.amount_wei for line in plan.lines] == [50]
    assert plan.held == []


def test_a_settlement_has_at_most_200_words_and_400_rewards():
    plan = plan_batch([_candidate(1, member) for member in range(1, 301)], {}, AMPLE)
    assert len(packed_words(plan.lines)) == MAX_WORDS
    assert len(plan_batch([_candidate(1, 1) for _ in range(500)], {}, AMPLE).lines) == MAX_REWARDS
    assert gas_limit(MAX_WORDS, MAX_REWARDS) <= GAS_CAP
    assert gas_limit(1, 1) >= 180_000


@settings(deadline=None)
@given(
    amounts=st.lists(st.tuples(st.integers(1, 10**20), st.integers(1, 4)), max_size=30),
    owed=st.dictionaries(st.integers(1, 4), st.integers(0, 10**21)),
    bucket=st.integers(0, 10**21),
    epoch=st.integers(0, 10**21),
    cap=st.integers(0, 10**21),
)
def test_a_plan_never_passes_a_limit_and_loses_no_wei(amounts, owed, bucket, epoch, cap):
    from uuid import UUID

    receivables = {UUID(int=member): wei for member, wei in owed.items()}
    queue = [_candidate(amount, member) for amount, member in amounts]
    plan = plan_batch(queue, receivables, Limits(bucket, epoch, cap, 10**21))
    assert plan.sum_wei <= min(bucket, epoch, cap)
    assert sum(unpack_word(word)[1] for word in packed_words(plan.lines)) == plan.sum_wei
    assert all(0 <= line.offset_wei <= line.amount_wei for line in plan.lines)
    offsets = sum(line.offset_wei for line in plan.lines)
    assert offsets == sum(receivables.values()) - sum(plan.receivables.values())
    assert not {line.reward_id for line in plan.lines} & {reward_id for reward_id, _ in plan.held}


def test_the_shadow_bucket_is_nine_tenths_less_what_is_under_way():
    assert bucket_room(available_wei=1_000, in_flight_wei=0) == 900
    assert bucket_room(available_wei=1_000, in_flight_wei=850) == 50
    assert bucket_room(available_wei=1_000, in_flight_wei=2_000) == 0


def test_a_word_holds_uint96():
    assert unpack_word(pack_word(_address(9), 2**96 - 1)) == (_address(9), 2**96 - 1)
    for wrong in (0, -1, 2**96):
        with pytest.raises(ValueError, match="word"):
            pack_word(_address(9), wrong)


def test_epochs_count_from_1970():
    start, end = epoch_of(datetime(2026, 11, 22, 12, tzinfo=UTC), 86_400)
    assert (start, end) == (datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))


def _leaf(seq: int, amount: int) -> Leaf:
    return Leaf(_address(1), seq, "offset" if amount < 0 else "connector", new_id(), new_id(), _address(2), amount)


@settings(deadline=None)
@given(amount=st.integers(-(10**30), 10**30), seq=st.integers(1, 2**64 - 1))
def test_a_leaf_is_what_solidity_would_encode(amount, seq):
    leaf = _leaf(seq, amount)
    encoded = encode(
        ["address", "uint64", "uint8", "bytes16", "bytes16", "address", "int256"],
        [
            leaf.minter,
            leaf.seq,
            KINDS[leaf.kind],
            leaf.source_id.bytes,
            leaf.beneficiary_id.bytes,
            leaf.payout_address,
            leaf.amount_wei,
        ],
    )
    assert leaf.encoded() == encoded
    assert leaf.hash() == keccak(keccak(encoded))


@settings(deadline=None)
@given(count=st.integers(1, 40), data=st.data())
def test_every_leaf_has_a_path_to_the_root_and_a_changed_one_has_not(count, data):
    hashes = [_leaf(seq, seq * 10**18).hash() for seq in range(1, count + 1)]
    root = merkle_root(hashes)
    index = data.draw(st.integers(0, count - 1))
    path = merkle_path(hashes, index)
    assert verify_path(hashes[index], path, root)
    assert not verify_path(keccak(hashes[index]), path, root)


def test_a_tree_has_a_leaf():
    with pytest.raises(ValueError, match="leaf"):
        merkle_root([])


def _known(amount: int, number: int, *more: int) -> Known:
    return Known(new_id(), new_id(), amount, frozenset(_address(each) for each in (number, *more)))


def test_a_settlement_is_shared_out_as_it_was_planned():
    first, second, other = _known(5, 1), _known(7, 1), _known(3, 2, 8)
    words = [pack_word(_address(1), 6), pack_word(_address(8), 3)]
    shares = share_out(words, [first, second, other])
    assert [share.minted_wei for share in shares] == [0, 6, 3]
    assert [share.payout_address for share in shares] == [_address(1), _address(1), _address(8)]
    assert share_out([pack_word(_address(2), 3)], [_known(4, 7), other])[0].minted_wei == 0


def test_a_settlement_that_cannot_be_ours_is_refused():
    with pytest.raises(SettlementMismatch):
        share_out([pack_word(_address(1), 6)], [_known(5, 1)])
    with pytest.raises(SettlementMismatch):
        share_out([pack_word(_address(1), 5), pack_word(_address(4), 1)], [_known(5, 1)])
    with pytest.raises(SettlementMismatch):
        split_reward_ids(b"x" * 17)
    ids = [new_id(), new_id()]
    assert split_reward_ids(b"".join(each.bytes for each in ids)) == ids
