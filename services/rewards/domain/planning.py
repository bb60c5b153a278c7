"""Planning of one settlement: which queued rewards go together, set off against what, within which limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.rewards.domain.states import Reason

MAX_WORDS = 200
"""Recipients of one chain tx."""

MAX_REWARDS = 400
"""Rewards of one chain tx: merged ones cost calldata alone."""

GAS_BASE = 100_000
GAS_PER_WORD = 80_000
GAS_PER_REWARD = 1_500
"""A fresh and delegated recipient costs 78,000; the calldata of one more id under one address some 1,000."""

GAS_CAP = 2**24
MAX_WORD_WEI = 2**96 - 1
SHADOW_BPS = 9_000
"""The planner uses 0.9 of the chain's bucket, so that a settlement never reverts for want of it."""


EncodeSettle = Callable[[int, bytes, bytes, list[bytes]], bytes]
"""(firstId, rewardIds, leavesRoot, packed) → calldata."""


@dataclass(frozen=True, slots=True)
class ChainView:
    """What the chain said a moment ago, and how to speak to its minter; plain values, read before the unit of work."""

    minter: str
    settled_topic: str
    encode_settle: EncodeSettle
    next_id: int
    available_wei: int
    capacity_wei: int
    room_wei: int
    """What the token's cap still lets be minted, or what is in the reserve."""

    room_reason: Reason
    """Why a reward is held that there is no room for: supply_cap, or reserve_empty."""

    paused_until: int
    timestamp: int
    chain_nonce: int
    """The nonce the chain expects next of the signer."""


@dataclass(frozen=True, slots=True)
class Supply:
    """The token's figures, in wei; `remaining_wei` is what rewards can still be paid of: room under the cap, or the
    reserve."""

    total_wei: int
    cap_wei: int
    remaining_wei: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued reward that may be paid now, in the order of the queue."""

    reward_id: UUID
    beneficiary_id: UUID
    payout_address: str
    amount_wei: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Room for new wei, each for itself. `largest_wei` is what the bucket could ever give at once; `room_wei` is that
    under the cap or in the reserve, and `room_reason` why a reward is held that does not fit into it."""

    bucket_wei: int
    epoch_wei: int
    room_wei: int
    largest_wei: int
    room_reason: Reason = Reason.SUPPLY_CAP


@dataclass(frozen=True, slots=True)
class Line:
    """One reward of a plan: of its amount, `offset_wei` makes good earlier refunds and `net_wei` is minted."""

    reward_id: UUID
    beneficiary_id: UUID
    payout_address: str
    amount_wei: int
    offset_wei: int

    @property
    def net_wei(self) -> int:
        """What reaches the wallet."""
        return self.amount_wei - self.offset_wei


@dataclass(slots=True)
class Plan:
    """Lines in order of their numbers, and the rewards that are held instead."""

    lines: list[Line] = field(default_factory=list)
    held: list[tuple[UUID, Reason]] = field(default_factory=list)
    receivables: dict[UUID, int] = field(default_factory=dict)
    """What each touched beneficiary still owes afterwards."""

    @property
    def sum_wei(self) -> int:
        """All wei this plan mints."""
        return sum(line.net_wei for line in self.lines)


def plan_batch(candidates: Sequence[Candidate], receivables: Mapping[UUID, int], limits: Limits) -> Plan:
    """Take candidates first in first out while there is room; what no room can come for is held with its reason.

    An empty bucket ends the plan (it fills by itself within seconds); budget, cap and reserve hold the one reward that
    does not fit, so that it blocks nothing behind it.
    """
    plan = Plan(receivables=dict(receivables))
    words: dict[str, int] = {}
    for candidate in candidates:
        owed = plan.receivables.get(candidate.beneficiary_id, 0)
        offset = min(owed, candidate.amount_wei)
        net = candidate.amount_wei - offset
        reason = _held_because(net, plan.sum_wei, limits)
        if reason is not None:
            plan.held.append((candidate.reward_id, reason))
            continue
        word = words.get(candidate.payout_address, 0) + net
        full = len(words) >= MAX_WORDS and net > 0 and candidate.payout_address not in words
        if full or word > MAX_WORD_WEI or plan.sum_wei + net > limits.bucket_wei or len(plan.lines) >= MAX_REWARDS:
            break
        if net > 0:
            words[candidate.payout_address] = word
        plan.receivables[candidate.beneficiary_id] = owed - offset
        plan.lines.append(
            Line(candidate.reward_id, candidate.beneficiary_id, candidate.payout_address, candidate.amount_wei, offset)
        )
    return plan


def _held_because(net_wei: int, planned_wei: int, limits: Limits) -> Reason | None:
    if net_wei > min(limits.largest_wei, MAX_WORD_WEI):
        return Reason.UNDER_REVIEW
    if planned_wei + net_wei > limits.room_wei:
        return limits.room_reason
    if planned_wei + net_wei > limits.epoch_wei:
        return Reason.EPOCH_BUDGET
    return None


def packed_words(lines: Sequence[Line]) -> list[bytes]:
    """One 32-byte word per recipient, in order of first appearance: address, then uint96 wei; nothing for 0 wei."""
    merged: dict[str, int] = {}
    for line in lines:
        if line.net_wei > 0:
            merged[line.payout_address] = merged.get(line.payout_address, 0) + line.net_wei
    return [pack_word(address, amount_wei) for address, amount_wei in merged.items()]


def pack_word(address: str, amount_wei: int) -> bytes:
    """Address in bits 255…96, wei in bits 95…0.

    Raises: ValueError when the wei do not fit.
    """
    if not 0 < amount_wei <= MAX_WORD_WEI:
        raise ValueError("a word holds 1 to 2^96 − 1 wei")
    return bytes.fromhex(address[2:]) + amount_wei.to_bytes(12, "big")


def unpack_word(word: bytes) -> tuple[str, int]:
    """The lower-case address and the wei of a word."""
    return "0x" + word[:20].hex(), int.from_bytes(word[20:], "big")


def gas_limit(words: int, rewards: int) -> int:
    """The gas limit by formula: estimating a pipelined settlement would revert."""
    return min(GAS_CAP, GAS_BASE + GAS_PER_WORD * words + GAS_PER_REWARD * rewards)


def bucket_room(*, available_wei: int, in_flight_wei: int) -> int:
    """What may still be reserved against the chain's bucket: 0.9 of its level, less all that is under way."""
    return max(0, available_wei * SHADOW_BPS // 10_000 - in_flight_wei)


def epoch_of(moment: datetime, epoch_seconds: int) -> tuple[datetime, datetime]:
    """Start and end of the emission epoch that holds `moment`; epochs count from 1970. Source: the network's rule 8."""
    seconds = max(1, epoch_seconds)
    start = int(moment.timestamp()) // seconds * seconds
    begin = datetime.fromtimestamp(start, UTC)
    return begin, begin + timedelta(seconds=seconds)
