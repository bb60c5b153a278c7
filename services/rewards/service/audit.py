"""Reconciliation: the chain's own account of what was minted beside the ledger's, both at one final block."""

from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Gauge

from chassis.clock import utc_now
from chassis.db import Session
from chassis.telemetry import log
from services.rewards.domain.planning import Supply
from services.rewards.repository import ledger, payouts

MONTH = timedelta(days=30)
RECOUNTED_BLOCKS = 512
"""The newest blocks are summed up every time: late lines and reorganisations touch no older ones."""

DIFFERENCE = Gauge("btrst_rewards_mint_difference_wei", "Minted by the ledger less minted on chain")
RECONCILED_BLOCK = Gauge("btrst_rewards_reconciled_block", "Final block of the last comparison of ledger and chain")
RECONCILED_AT = Gauge("btrst_rewards_reconciled_timestamp_seconds", "When ledger and chain were last compared")

QUEUED = Gauge("btrst_rewards_queued", "Rewards that wait for a settlement")
QUEUED_SECONDS = Gauge("btrst_rewards_oldest_queued_seconds", "How long the longest waiting of them has waited")


async def measure_queue(session: Session) -> None:
    """Show how many rewards wait to be paid, and for how long."""
    waiting, since = await payouts.measure_queue(session)
    QUEUED.set(waiting)
    QUEUED_SECONDS.set((utc_now() - since).total_seconds() if since else 0)


async def record_settled(
    session: Session,
    *,
    first_id: int,
    reward_count: int,
    sum_wei: int,
    leaves_root: bytes,
    chain_tx_hash: str,
    block_number: int,
    block_hash: str,
) -> None:
    """Keep one `Settled` log of a final block."""
    await payouts.insert_settled_log(
        session,
        first_id=first_id,
        reward_count=reward_count,
        sum_wei=sum_wei,
        leaves_root=leaves_root,
        chain_tx_hash=chain_tx_hash,
        block_number=block_number,
        block_hash=block_hash,
    )


async def forget_settled(session: Session, *, from_block: int) -> None:
    """Forget logs of blocks that are gone (only a local chain loses final ones)."""
    await payouts.delete_settled_logs(session, from_block)


async def payout_problem(session: Session) -> str | None:
    """What keeps payouts from being reserved, as last found: None is well."""
    state = await payouts.find_payout_state(session)
    figures = await payouts.find_chain_figures(session)
    if figures is not None and figures.ledger_minted_wei != figures.onchain_minted_wei:
        return f"ledger and chain differ at block {figures.as_of_block}"
    return state.problem if state is not None else None


@dataclass(frozen=True, slots=True)
class Counted:
    """Both sides' sums up to a block far behind the newest, where they agreed."""

    block: int = -1
    onchain_wei: int = 0
    ledger_wei: int = 0


NOTHING = Counted()


async def reconcile(
    session: Session, *, final_block: int, supply: Supply, counted: Counted = NOTHING
) -> tuple[int, Counted]:
    """Compare ledger and chain at the newest final block at which both are complete; the block, and what to begin
    the next comparison with.

    A settlement of ours that is final on chain but still on its way into the ledger moves the comparison back
    before its block: that is a delay, not a difference. Only blocks behind `counted` are summed, so that the cost
    does not grow with history; before a difference is believed, everything is.
    """
    now = utc_now()
    lagging = await payouts.first_lagging_block(session)
    block = final_block if lagging is None else min(final_block, lagging - 1)
    counted = counted if counted.block <= block else NOTHING
    found = await _count(session, counted, block)
    if found.onchain_wei != found.ledger_wei and counted is not NOTHING:
        counted = NOTHING
        found = await _count(session, counted, block)
    onchain, booked = found.onchain_wei, found.ledger_wei
    DIFFERENCE.set(booked - onchain)
    RECONCILED_BLOCK.set(block)
    RECONCILED_AT.set_to_current_time()
    if onchain != booked:
        log.error("supply_differs", ledger_minted_wei=str(booked), onchain_minted_wei=str(onchain), block=block)
    elif block >= counted.block + 2 * RECOUNTED_BLOCKS:
        counted = await _count(session, counted, block - RECOUNTED_BLOCKS)
    await payouts.put_chain_figures(
        session,
        total_supply_wei=supply.total_wei,
        cap_wei=supply.cap_wei,
        remaining_wei=supply.remaining_wei,
        onchain_minted_wei=onchain,
        ledger_minted_wei=booked,
        as_of_block=block,
        minted_month_wei=await payouts.minted_since(session, now - MONTH),
        checked_at=now,
    )
    return block, counted if counted.onchain_wei == counted.ledger_wei else NOTHING


async def _count(session: Session, base: Counted, block: int) -> Counted:
    onchain = await payouts.onchain_minted_between(session, base.block, block)
    booked = await ledger.minted_between(session, base.block, block)
    return Counted(block, base.onchain_wei + onchain, base.ledger_wei + booked)
