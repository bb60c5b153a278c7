"""Payouts: choose, number and reserve a settlement; then follow its chain tx into the ledger."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from chassis.chain.errors import LaneFull, LaneHalted, LaneNotOpen
from chassis.chain.intents import lane_status, reserve
from chassis.clock import utc_now
from chassis.db import Session
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.tracing import span
from services.rewards.domain.leaves import Leaf, merkle_root
from services.rewards.domain.ledger import Code
from services.rewards.domain.planning import (
    MAX_REWARDS,
    Candidate,
    ChainView,
    Limits,
    Plan,
    bucket_room,
    epoch_of,
    gas_limit,
    packed_words,
    plan_batch,
)
from services.rewards.domain.states import Reason, Status
from services.rewards.models import LANE
from services.rewards.repository import epochs, facts, ledger, payouts, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.refunds import reverse_refunded
from services.rewards.service.review import hold_reward, review_rewards
from services.rewards.service.terms import current_parameters

PAUSE_RETRY = timedelta(minutes=15)
"""A pause may be lifted before its end."""

RESERVE_RETRY = timedelta(minutes=5)
"""Anybody may fund the reserve at any time."""

LIMIT_RETRY = timedelta(hours=1)
"""A vote may raise what one chain tx may mint; room under the cap comes back only with a settlement that failed."""


async def wants_payout(session: Session, *, batch_wait_seconds: float) -> bool:
    """Whether the queue's head has waited long enough for others to join it."""
    oldest = await rewards.oldest_queued(session)
    return oldest is not None and oldest <= utc_now() - timedelta(seconds=batch_wait_seconds)


async def reserve_settlement(session: Session, *, view: ChainView) -> bool:
    """Choose, number and reserve the next settlement: one unit of work, no network in it.

    True when something was settled or held, so that more may follow at once. Nothing is reserved while the chain
    and the ledger differ, a failed settlement is not planned anew, or the lane takes no more.
    """
    state = await payouts.lock_payout_state(session)
    problem = await _obstacle(session, state, view)
    if problem != state.problem:
        await payouts.set_problem(session, problem)
    if problem is not None:
        return False
    now = utc_now()
    candidates = await _choose(session)
    if view.timestamp < view.paused_until:
        return await _hold_paused(session, candidates, view.paused_until - view.timestamp, now)
    payable = await _with_wallets(session, candidates, now)
    owing = await facts.lock_parties(session, {row.beneficiary_id for row, _ in payable})
    plan = await _plan(session, payable, owing, view, now)
    await _hold_planned(session, plan, now)
    if not plan.lines:
        return bool(plan.held)
    if plan.sum_wei == 0:
        await _settle_off_chain(session, plan, now)
        return True
    failpoint("p6")
    traces = await transactions.list_traceparents(session, [line.reward_id for line in plan.lines])
    with span("reserve settlement", parent=traces[0] if traces else None, links=traces[1:]):
        return await _reserve(session, plan, view, state.next_seq, now)


async def _obstacle(session: Session, state: Any, view: ChainView) -> str | None:
    if view.next_id > state.next_seq:
        return f"the chain has settled up to {view.next_id - 1}, this database numbered up to {state.next_seq - 1}"
    lane = await lane_status(session, LANE)
    if lane is not None and view.chain_nonce > lane.next_nonce:  # a restored copy: to use a nonce twice ends the lane
        return f"the chain has used the signer's nonces up to {view.chain_nonce - 1}, this database has forgotten some"
    figures = await payouts.find_chain_figures(session)
    if figures is not None and figures.ledger_minted_wei != figures.onchain_minted_wei:
        difference = figures.ledger_minted_wei - figures.onchain_minted_wei
        return f"ledger and chain differ by {difference} wei at block {figures.as_of_block}"
    still_open = await payouts.list_open(session)
    if any(row.status == "failed" for row in still_open):
        return "a settlement failed and is planned anew once nothing else is under way"
    unseen = sum(row.reward_count for row in still_open)
    if view.next_id + unseen < state.next_seq:
        return f"the chain has settled up to {view.next_id - 1} only: it has gone back"
    return None


async def _choose(session: Session) -> list[Any]:
    """The head of the queue, with members' and rewards' rows locked."""
    head = await rewards.list_payable(session, MAX_REWARDS)
    await facts.lock_parties(session, {row.beneficiary_id for row in head})
    locked = await rewards.lock_rewards(session, [row.id for row in head])
    rows = [locked[row.id] for row in head]
    return [row for row in rows if row.status == Status.QUEUED and row.settlement_id is None]


async def _hold_paused(session: Session, rows: Sequence[Any], seconds: int, now: datetime) -> bool:
    check_at = now + min(timedelta(seconds=seconds), PAUSE_RETRY)
    for row in rows:
        await hold_reward(session, row, reason=Reason.PAUSED, check_at=check_at, now=now)
    return bool(rows)


async def _with_wallets(session: Session, rows: Sequence[Any], now: datetime) -> list[tuple[Any, str]]:
    """Each reward with the address it is paid to now; those without one are held."""
    wallets = await facts.list_wallets(session, {row.beneficiary_id for row in rows}, now) if rows else {}
    await review_rewards(session, [row.id for row in rows if row.beneficiary_id not in wallets])
    return [(row, wallets[row.beneficiary_id]) for row in rows if row.beneficiary_id in wallets]


async def _plan(
    session: Session, payable: Sequence[tuple[Any, str]], owing: Any, view: ChainView, now: datetime
) -> Plan:
    under_way = sum(row.sum_wei for row in await payouts.list_open(session))
    parameters = await current_parameters(session, now)
    start, _ = epoch_of(now, parameters.epoch_seconds)
    charged = await epochs.epoch_charged(session, start)
    limits = Limits(
        bucket_wei=bucket_room(available_wei=view.available_wei, in_flight_wei=under_way),
        epoch_wei=max(0, parameters.epoch_budget_wei - charged),
        room_wei=max(0, view.room_wei - under_way),
        largest_wei=bucket_room(available_wei=view.capacity_wei, in_flight_wei=0),
        room_reason=view.room_reason,
    )
    candidates = [Candidate(row.id, row.beneficiary_id, address, row.amount_wei) for row, address in payable]
    return plan_batch(candidates, {member: int(row.receivable_wei) for member, row in owing.items()}, limits)


async def _hold_planned(session: Session, plan: Plan, now: datetime) -> None:
    if not plan.held:
        return
    parameters = await current_parameters(session, now)
    _, epoch_end = epoch_of(now, parameters.epoch_seconds)
    later = now + LIMIT_RETRY
    again = {
        Reason.EPOCH_BUDGET: epoch_end,
        Reason.SUPPLY_CAP: later,
        Reason.RESERVE_EMPTY: now + RESERVE_RETRY,
        Reason.UNDER_REVIEW: later,
    }
    locked = await rewards.lock_rewards(session, [reward_id for reward_id, _ in plan.held])
    for reward_id, reason in plan.held:
        await hold_reward(session, locked[reward_id], reason=reason, check_at=again.get(reason), now=now)


async def _reserve(session: Session, plan: Plan, view: ChainView, first_id: int, now: datetime) -> bool:
    """Write the settlement and its chain intent; the rewards' numbers, addresses and amounts are fixed from here on."""
    parameters = await current_parameters(session, now)
    settlement_id = new_id()
    rows = await rewards.lock_rewards(session, [line.reward_id for line in plan.lines])
    leaves = leaves_of(view.minter, [(rows[line.reward_id], first_id + i, line) for i, line in enumerate(plan.lines)])
    hashes = [leaf.hash() for leaf in leaves]
    root = merkle_root(hashes)
    words = packed_words(plan.lines)
    epoch = epoch_of(now, parameters.epoch_seconds)
    await payouts.insert_settlement(
        session,
        id=settlement_id,
        first_id=first_id,
        reward_count=len(plan.lines),
        sum_wei=plan.sum_wei,
        leaves_root=root,
        minter=view.minter,
        epoch_start=epoch[0],
        status="reserved",
        created_at=now,
    )
    numbered = [
        (line.reward_id, first_id + i, line.payout_address, line.offset_wei) for i, line in enumerate(plan.lines)
    ]
    await rewards.number_rewards(session, settlement_id, numbered)
    await facts.set_receivables(session, plan.receivables)
    await epochs.insert_leaves(session, settlement_id, kept_leaves(leaves, hashes))
    await epochs.charge_epoch(session, epoch, plan.sum_wei)
    await payouts.set_next_seq(session, first_id + len(plan.lines))
    ids = b"".join(line.reward_id.bytes for line in plan.lines)
    intent = await reserve(
        session,
        lane=LANE,
        to=view.minter,
        calldata=view.encode_settle(first_id, ids, root, words),
        gas_limit=gas_limit(len(words), len(plan.lines)),
        reference=str(settlement_id),
        first_id=first_id,
        count=len(plan.lines),
        expected_log=(view.minter, view.settled_topic),
    )
    steps = [
        journal.Step(
            line.reward_id,
            "reserved",
            "reserved",
            {
                "seq": first_id + i,
                "nonce": intent.nonce,
                "payout_address": line.payout_address,
                "offset_wei": str(line.offset_wei),
                "net_wei": str(line.net_wei),
            },
        )
        for i, line in enumerate(plan.lines)
    ]
    await journal.write_steps(session, steps, now)
    return True


async def _settle_off_chain(session: Session, plan: Plan, now: datetime) -> None:
    """Rewards that earlier refunds have used up entirely: nothing is minted, so no chain tx could carry them."""
    rows = await rewards.lock_rewards(session, [line.reward_id for line in plan.lines])
    await facts.set_receivables(session, plan.receivables)
    for line in plan.lines:
        row = rows[line.reward_id]
        await rewards.update_reward(
            session, row.id, status=Status.MINTED, reason=None, offset_wei=line.offset_wei, minted_wei=0, minted_at=now
        )
        await ledger.insert_entries(session, [ledger.Entry(Code.OFFSET, -line.offset_wei, row)], now)
        step = journal.Step(row.id, "offset", "fully_offset", {"offset_wei": str(line.offset_wei)})
        await journal.write_steps(session, [step], now)
    await reverse_refunded(session, list(rows.values()), now)


def leaves_of(minter: str, numbered: Sequence[tuple[Any, int, Any]]) -> list[Leaf]:
    """The leaves of a settlement in order: each reward's, and behind it the one of what was set off.

    `numbered` is (reward row, seq, anything with payout_address, amount_wei and offset_wei).
    """
    leaves = []
    for row, seq, line in numbered:
        common = (minter, seq)
        party = (row.source_id, row.beneficiary_id, line.payout_address)
        leaves.append(Leaf(*common, row.kind, *party, line.amount_wei))
        if line.offset_wei:
            leaves.append(Leaf(*common, "offset", *party, -line.offset_wei))
    return leaves


def kept_leaves(leaves: Sequence[Leaf], hashes: Sequence[bytes]) -> list[tuple[int, bool, bytes]]:
    """Leaves as they are kept: seq, whether it is an offset, hash."""
    return [(leaf.seq, leaf.kind == "offset", hash_) for leaf, hash_ in zip(leaves, hashes, strict=True)]


RESERVE_ERRORS = (LaneNotOpen, LaneHalted, LaneFull)
"""The lane takes nothing now; the unit of work is undone and tried again later."""
