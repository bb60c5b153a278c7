"""What members, admins and strangers may read: rewards, traces, proofs, the ledger, the token, the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.db import Session
from services.rewards.domain.leaves import Leaf, merkle_levels, merkle_path
from services.rewards.errors import ChainStateUnknown, ProofNotFound
from services.rewards.repository import facts, ledger, payouts, rewards
from services.rewards.service.payouts import leaves_of
from services.rewards.service.terms import price_as_of


@dataclass(frozen=True, slots=True)
class Proof:
    """That a reward is part of a chain tx: its leaf, the way to the root, and the leaf of what was set off."""

    leaf: Leaf
    path: Sequence[bytes]
    root: bytes
    chain_tx_hash: str
    offset_leaf: Leaf | None
    offset_path: Sequence[bytes]


async def get_reward(session: Session, *, reward_id: UUID, beneficiary_id: UUID | None) -> Any:
    """A reward of this beneficiary; None is an admin, who sees all.

    Raises: RewardNotFound.
    """
    return await rewards.get_reward(session, reward_id, beneficiary_id=beneficiary_id)


async def list_rewards(
    session: Session,
    *,
    beneficiary_id: UUID,
    status: str | None,
    transaction_id: UUID | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Any]:
    """A page of a beneficiary's rewards, newest first."""
    return await rewards.list_rewards(
        session,
        beneficiary_id=beneficiary_id,
        status=status,
        transaction_id=transaction_id,
        after=after,
        limit=limit,
    )


async def trace_reward(session: Session, *, reward_id: UUID, beneficiary_id: UUID | None) -> list[dict[str, Any]]:
    """Every step of a reward in order of time, its chain txs' included.

    Raises: RewardNotFound.
    """
    row = await rewards.get_reward(session, reward_id, beneficiary_id=beneficiary_id)
    steps = [
        {"at": step.at, "step": step.step, "code": step.code, "data": step.data}
        for step in await rewards.list_steps(session, reward_id)
    ]
    if row.settlement_id is not None:
        steps += _sent_steps(await payouts.list_attempts(session, row.settlement_id))
    return sorted(steps, key=lambda step: step["at"])


def _sent_steps(attempts: Sequence[Any]) -> list[dict[str, Any]]:
    found = []
    for attempt in attempts:
        data = {"chain_tx_hash": attempt.hash, "nonce": attempt.nonce}
        found.append({"at": attempt.created_at, "step": "signed", "code": "signed", "data": data})
        if attempt.sent_at is not None:
            found.append({"at": attempt.sent_at, "step": "broadcast", "code": "broadcast", "data": data})
    return found


async def prove_reward(session: Session, *, reward_id: UUID) -> Proof:
    """The proof that a reward is in its chain tx.

    Raises: ProofNotFound while it is in none, or when its settlement was read back from the chain and the
    attribution of offsets in it is not known any more.
    """
    row = await rewards.find_reward(session, reward_id)
    if row is None or row.settlement_id is None or row.chain_tx_hash is None:
        raise ProofNotFound
    settlement = await payouts.find_settlement(session, row.settlement_id)
    assert settlement is not None, "a numbered reward has a settlement"
    numbered = [(each, each.seq, each) for each in await rewards.list_settlement_rewards(session, row.settlement_id)]
    leaves = leaves_of(settlement.minter, numbered)
    hashes = [leaf.hash() for leaf in leaves]
    root = merkle_levels(hashes)[-1][0]
    if root != bytes(settlement.leaves_root):
        raise ProofNotFound
    mine = [i for i, leaf in enumerate(leaves) if leaf.seq == row.seq]
    offset = mine[1] if len(mine) > 1 else None
    return Proof(
        leaf=leaves[mine[0]],
        path=merkle_path(hashes, mine[0]),
        root=root,
        chain_tx_hash=row.chain_tx_hash,
        offset_leaf=None if offset is None else leaves[offset],
        offset_path=[] if offset is None else merkle_path(hashes, offset),
    )


async def list_ledger(
    session: Session, *, beneficiary_id: UUID, reward_id: UUID | None, after: int | None, limit: int
) -> list[Any]:
    """A page of the ledger lines a beneficiary sees, newest first."""
    return await ledger.list_lines(
        session, beneficiary_id=beneficiary_id, reward_id=reward_id, after=after, limit=limit
    )


async def summarize_rewards(session: Session, *, beneficiary_id: UUID) -> dict[str, Any]:
    """A beneficiary's sums in wei, what they owe, and why what is held is held."""
    sums = await rewards.summarize(session, beneficiary_id)
    return {
        "accrued_wei": int(sums.accrued_wei),
        "held_wei": int(sums.held_wei),
        "queued_wei": int(sums.queued_wei),
        "minted_wei": int(sums.minted_wei),
        "receivable_wei": await facts.find_receivable(session, beneficiary_id),
        "by_reason": await rewards.held_by_reason(session, beneficiary_id),
    }


async def get_chain_figures(session: Session) -> Any:
    """The token's figures and the reconciliation as last written.

    Raises: ChainStateUnknown while the chain was never reached.
    """
    figures = await payouts.find_chain_figures(session)
    if figures is None:
        raise ChainStateUnknown("The chain has not been read yet")
    return figures


async def current_price_usd_e8(session: Session, *, now: datetime) -> int | None:
    """USD per BTRST × 10^8 at `now`, or None."""
    price = await price_as_of(session, now)
    return None if price is None else price.usd_e8
