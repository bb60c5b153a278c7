"""Reading a settlement back from its calldata: which reward got how much of the merged words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.rewards.domain.planning import unpack_word
from services.rewards.errors import SettlementMismatch

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Settled:
    """One settlement as the chain tells it: the log, and the calldata it came from."""

    first_id: int
    sum_wei: int
    leaves_root: bytes
    minter: str
    chain_tx_hash: str
    block_number: int
    block_hash: str
    settled_at: datetime
    """The time of its block."""

    reward_ids: tuple[UUID, ...]
    packed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A settled reward that this database knows: what it earned before refunds, and where it may have been paid."""

    reward_id: UUID
    beneficiary_id: UUID
    amount_wei: int
    addresses: frozenset[str]
    """Lower-case."""


@dataclass(frozen=True, slots=True)
class Share:
    """A reward's part of a settlement: `minted_wei` of its amount reached `payout_address`."""

    reward_id: UUID
    minted_wei: int
    payout_address: str | None


def split_reward_ids(data: bytes) -> list[UUID]:
    """The reward ids of a settlement's calldata, in the order of their numbers.

    Raises: SettlementMismatch when the bytes are no whole ids.
    """
    if len(data) % ID_BYTES:
        raise SettlementMismatch("reward ids are 16 bytes each")
    return [UUID(bytes=data[i : i + ID_BYTES]) for i in range(0, len(data), ID_BYTES)]


def share_out(packed: Sequence[bytes], known: Sequence[Known]) -> list[Share]:
    """How much of the packed words each known reward was minted, first in first out within a recipient.

    What an address got less than its rewards' amounts was set off against refunds: the offsets come first, as the
    planner takes them. Every word must be explained to the wei.
    Raises: SettlementMismatch when a word holds more than the rewards of its address, or pays a stranger.
    """
    words = dict(unpack_word(word) for word in packed)
    groups: dict[str | None, list[Known]] = {}
    for reward in known:
        groups.setdefault(_recipient(reward, words), []).append(reward)
    shares: dict[UUID, Share] = {}
    for address, rewards in groups.items():
        minted = words.get(address, 0) if address is not None else 0
        offset = sum(reward.amount_wei for reward in rewards) - minted
        if offset < 0:
            raise SettlementMismatch(f"{address} was paid {-offset} wei more than its rewards amount to")
        for reward in rewards:
            taken = min(offset, reward.amount_wei)
            offset -= taken
            shares[reward.reward_id] = Share(reward.reward_id, reward.amount_wei - taken, address)
    if set(words) - set(groups):
        raise SettlementMismatch("the chain paid an address that none of the rewards belongs to")
    return [shares[reward.reward_id] for reward in known]


def _recipient(reward: Known, words: Mapping[str, int]) -> str | None:
    return next((address for address in words if address in reward.addresses), None)
