"""Recovery: the chain is ahead of a restored database. What it settled is read back and never paid again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.chain.intents import advance_lane
from chassis.clock import utc_now
from chassis.db import Session
from chassis.ids import new_id
from chassis.signatures import to_checksum_address
from services.rewards.domain.leaves import merkle_root
from services.rewards.domain.ledger import Code
from services.rewards.domain.planning import epoch_of
from services.rewards.domain.recovery import Known, Settled, Share, share_out
from services.rewards.domain.states import Status
from services.rewards.errors import SettlementMismatch
from services.rewards.models import LANE
from services.rewards.repository import epochs, facts, ledger, payouts, rewards
from services.rewards.service import journal
from services.rewards.service.outcomes import mint_settlement
from services.rewards.service.payouts import kept_leaves, leaves_of
from services.rewards.service.refunds import apply_refunds
from services.rewards.service.terms import current_parameters

LIMIT = 20
NOBODY = "0x" + "00" * 20
"""Stands for the address of a reward that was set off entirely: the calldata does not tell it."""


async def list_forgotten(session: Session) -> list[Any]:
    """`Settled` logs of final blocks with numbers that this database has not given yet."""
    state = await payouts.find_payout_state(session)
    return await payouts.list_settled_from(session, state.next_seq if state else 1, LIMIT)


async def recover_settlement(session: Session, *, settled: Settled) -> bool:
    """Mark exactly the rewards of a forgotten settlement as minted.

    False while one of its rewards is not known yet: its transaction is still to be read from the bus again.
    Raises: SettlementMismatch when the settlement cannot be of rewards this service makes.
    """
    state = await payouts.lock_payout_state(session)
    if settled.first_id != state.next_seq:
        return False
    seen = await rewards.list_by_ids(session, settled.reward_ids)
    if len(seen) != len(settled.reward_ids):
        missing = len(settled.reward_ids) - len(seen)
        await payouts.set_problem(session, f"{missing} rewards settled from {settled.first_id} on are not known yet")
        return False
    owing = await facts.lock_parties(session, {row.beneficiary_id for row in seen})
    locked = await rewards.lock_rewards(session, settled.reward_ids)
    rows = [locked[reward_id] for reward_id in settled.reward_ids]
    shares = await _shares(session, rows, settled)
    settlement_id = await _insert_settlement(session, settled)
    place = journal.Place(settled.chain_tx_hash, settled.block_number, settled.block_hash)
    receivables = {member: int(row.receivable_wei) for member, row in owing.items()}
    for i, (row, share) in enumerate(zip(rows, shares, strict=True)):
        numbered = {"settlement_id": settlement_id, "seq": settled.first_id + i}
        await _mark(session, row, share, receivables, numbered)
    await mint_settlement(session, settlement_id, place)
    await _keep_leaves(session, settlement_id, settled)
    await facts.set_receivables(session, receivables)
    await payouts.set_next_seq(session, settled.first_id + len(rows))
    await payouts.set_problem(session, None)
    for transaction_id in sorted({row.transaction_id for row in rows if row.transaction_id is not None}):
        await apply_refunds(session, transaction_id)
    return True


async def _shares(session: Session, rows: Sequence[Any], settled: Settled) -> list[Share]:
    if any(row.settlement_id is not None or row.status == Status.MINTED for row in rows):
        raise SettlementMismatch("the chain has settled a reward under two numbers")
    history = await facts.list_wallet_history(session, {row.beneficiary_id for row in rows})
    known = [
        Known(row.id, row.beneficiary_id, row.earned_wei, history.get(row.beneficiary_id, frozenset())) for row in rows
    ]
    return share_out(settled.packed, known)


async def _insert_settlement(session: Session, settled: Settled) -> UUID:
    parameters = await current_parameters(session, settled.settled_at)
    epoch = epoch_of(settled.settled_at, parameters.epoch_seconds)
    settlement_id = new_id()
    await epochs.charge_epoch(session, epoch, settled.sum_wei)
    await payouts.insert_settlement(
        session,
        id=settlement_id,
        first_id=settled.first_id,
        reward_count=len(settled.reward_ids),
        sum_wei=settled.sum_wei,
        leaves_root=settled.leaves_root,
        minter=settled.minter,
        epoch_start=epoch[0],
        status="minted",
        chain_tx_hash=settled.chain_tx_hash,
        block_number=settled.block_number,
        block_hash=settled.block_hash,
        created_at=settled.settled_at,
    )
    return settlement_id


async def _keep_leaves(session: Session, settlement_id: UUID, settled: Settled) -> None:
    """Keep the leaves, if what was set off is known well enough to make the root of them that the chain has."""
    rows = await rewards.list_settlement_rewards(session, settlement_id)
    leaves = leaves_of(settled.minter, [(row, row.seq, row) for row in rows])
    hashes = [leaf.hash() for leaf in leaves]
    if merkle_root(hashes) == settled.leaves_root:
        await epochs.insert_leaves(session, settlement_id, kept_leaves(leaves, hashes))


async def _mark(session: Session, row: Any, share: Share, receivables: dict[UUID, int], numbered: Any) -> None:
    """What is missing from the amount it earned was an offset as far as refunds are known, else an earlier cut."""
    now = utc_now()
    missing = row.earned_wei - share.minted_wei
    offset = min(missing, receivables[row.beneficiary_id])
    receivables[row.beneficiary_id] -= offset
    amount = share.minted_wei + offset
    code = Code.ACCRUAL if amount > row.amount_wei else Code.CANCEL
    await ledger.insert_entries(session, [ledger.Entry(code, amount - row.amount_wei, row)], now)
    values = numbered | {
        "payout_address": to_checksum_address(share.payout_address or NOBODY),
        "amount_wei": amount,
        "offset_wei": offset,
        "is_verified": True,
    }
    await rewards.update_reward(session, row.id, **values)
    step = journal.Step(row.id, "recovered", "recovered", {"seq": values["seq"], "amount_wei": str(amount)})
    await journal.write_steps(session, [step], now)


async def catch_up_nonce(session: Session, *, chain_nonce: int, chain_next_id: int) -> bool:
    """Let the lane go on from the chain's nonce once every settlement the chain knows is marked here."""
    state = await payouts.lock_payout_state(session)
    if state.next_seq < chain_next_id:
        return False
    await advance_lane(session, LANE, chain_nonce)
    return True
