"""What a stranger needs to check payouts: the leaves of settlements, and the way from each to the root on chain.

The leaves' hashes are those kept when a settlement was reserved; what they say is read from the rewards as they are
now. So a row that was altered since does not match its leaf, and is told from the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.rewards.domain.leaves import Leaf, merkle_path, merkle_root
from services.rewards.errors import ProofNotFound
from services.rewards.repository import epochs, payouts, rewards
from services.rewards.service.payouts import leaves_of

PAGE_REWARDS = 1_200
"""So many rewards a page holds at most, however many settlements were asked for: three full ones."""


@dataclass(frozen=True, slots=True)
class Line:
    """One leaf of a settlement: its hash under the root, and what the reward it belongs to says today."""

    reward_id: UUID
    hash: bytes
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Settlement:
    """A minted settlement with all of its leaves in their order under the root."""

    row: Any
    lines: Sequence[Line]

    @property
    def is_proven(self) -> bool:
        """Whether the hashes make the root on chain: not when offsets of one read back from there are not known."""
        return bool(self.lines) and merkle_root([line.hash for line in self.lines]) == bytes(self.row.leaves_root)


@dataclass(frozen=True, slots=True)
class Proof:
    """That a reward is part of a chain tx: its leaf, the way to the root, and the leaf of what was set off."""

    line: Line
    path: Sequence[bytes]
    root: bytes
    chain_tx_hash: str
    offset: Line | None
    offset_path: Sequence[bytes]


async def prove_reward(session: Session, *, reward_id: UUID) -> Proof:
    """The proof that a reward is in its chain tx.

    Raises: ProofNotFound while it is in none, when it is not what was reserved, or when its settlement was read back
    from the chain and the attribution of offsets in it is not known any more.
    """
    row = await rewards.find_reward(session, reward_id)
    if row is None or row.settlement_id is None or row.chain_tx_hash is None:
        raise ProofNotFound
    found = await payouts.find_settlement(session, row.settlement_id)
    (settlement,) = await _settlements(session, [found])
    mine = [i for i, line in enumerate(settlement.lines) if line.reward_id == reward_id]
    lines = [settlement.lines[i] for i in mine]
    if not settlement.is_proven or any(line.leaf.hash() != line.hash for line in lines):
        raise ProofNotFound
    hashes = [line.hash for line in settlement.lines]
    return Proof(
        line=lines[0],
        path=merkle_path(hashes, mine[0]),
        root=bytes(settlement.row.leaves_root),
        chain_tx_hash=row.chain_tx_hash,
        offset=lines[1] if len(lines) > 1 else None,
        offset_path=merkle_path(hashes, mine[1]) if len(lines) > 1 else [],
    )


async def list_epochs(session: Session, *, before: int | None, limit: int) -> list[Any]:
    """A page of the emission epochs, newest first."""
    return await epochs.list_epochs(session, before=before, limit=limit)


async def audit_epoch(
    session: Session, *, number: int, after_first_id: int, limit: int
) -> tuple[Any, list[Settlement], bool]:
    """An epoch, a page of its minted settlements with all their leaves, and whether more follow.

    Raises: EpochNotFound.
    """
    epoch = await epochs.get_epoch(session, number)
    rows = await epochs.list_settlements(session, epoch.epoch_start, after_first_id=after_first_id, limit=limit + 1)
    page: list[Any] = []
    for row in rows[:limit]:
        if page and sum(each.reward_count for each in page) + row.reward_count > PAGE_REWARDS:
            break
        page.append(row)
    return epoch, await _settlements(session, page), len(rows) > len(page)


async def _settlements(session: Session, rows: Sequence[Any]) -> list[Settlement]:
    ids = [row.id for row in rows]
    numbered: dict[UUID, list[Any]] = {settlement_id: [] for settlement_id in ids}
    for reward in await epochs.list_rewards(session, ids):
        numbered[reward.settlement_id].append(reward)
    kept: dict[UUID, dict[tuple[int, bool], bytes]] = {settlement_id: {} for settlement_id in ids}
    for leaf in await epochs.list_leaves(session, ids):
        kept[leaf.settlement_id][leaf.seq, leaf.is_offset] = bytes(leaf.hash)
    return [Settlement(row, _lines(row.minter, numbered[row.id], kept[row.id])) for row in rows]


def _lines(minter: str, numbered: Sequence[Any], kept: dict[tuple[int, bool], bytes]) -> list[Line]:
    """What the rewards say, each line beside the hash kept for it; where none was kept, beside its own."""
    lines = []
    by_seq = {reward.seq: reward.id for reward in numbered}
    said = {(leaf.seq, leaf.kind == "offset"): leaf for leaf in leaves_of(minter, [(r, r.seq, r) for r in numbered])}
    for seq, is_offset in sorted(said.keys() | {key for key in kept if key[0] in by_seq}):
        leaf = said.get((seq, is_offset)) or _nothing_set_off(said[seq, False])
        lines.append(Line(by_seq[seq], kept.get((seq, is_offset)) or leaf.hash(), leaf))
    return lines


def _nothing_set_off(leaf: Leaf) -> Leaf:
    """The offset that was reserved and that the row does not tell of any more."""
    return Leaf(leaf.minter, leaf.seq, "offset", leaf.source_id, leaf.beneficiary_id, leaf.payout_address, 0)
