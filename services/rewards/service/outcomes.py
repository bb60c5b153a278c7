"""What the chain made of a settlement: included, confirmed, gone again, or failed. Runs in the lane's units of work."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.chain.intents import Intent, IntentState, list_in_flight
from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Status
from services.rewards.models import LANE
from services.rewards.repository import epochs, facts, ledger, payouts, rewards
from services.rewards.service import journal
from services.rewards.service.journal import Place
from services.rewards.service.refunds import reverse_refunded

_SENT = frozenset({IntentState.SIGNED, IntentState.BROADCAST})
_OVER = frozenset({"minted", "freed"})
"""A freed settlement has given its numbers away: should a chain that went back carry it out after all, what it did is
read back from the chain; should it fail there once more, nothing is left to free."""


async def note_sent(session: Session) -> int:
    """Rewards whose chain tx exists, signed and stored, are `submitted`; how many have become so."""
    signed = [intent for intent in await list_in_flight(session, LANE) if intent.state in _SENT]
    changed = 0
    for intent in signed:
        settlement = await payouts.lock_settlement(session, settlement_of(intent))
        if settlement.status != "reserved":
            continue
        rows = [row for row in await _lock_rows(session, settlement.id) if row.status == Status.QUEUED]
        if not rows:
            continue
        await rewards.update_rewards(session, [row.id for row in rows], status=Status.SUBMITTED)
        steps = [journal.Step(row.id, Status.SUBMITTED, Status.SUBMITTED, {"nonce": intent.nonce}) for row in rows]
        await journal.write_steps(session, steps, utc_now())
        changed += len(rows)
    return changed


async def note_included(session: Session, *, settlement_id: UUID, place: Place) -> None:
    """A block holds the settlement's chain tx: its rewards are `submitted`, if they were not before."""
    settlement = await payouts.lock_settlement(session, settlement_id)
    if settlement.status in _OVER:
        return
    rows = await _lock_rows(session, settlement_id)
    now = utc_now()
    where = asdict(place)
    await payouts.update_settlement(session, settlement_id, status="included", **where)
    await rewards.update_rewards(session, [row.id for row in rows if _is_open(row)], status=Status.SUBMITTED)
    await rewards.update_rewards(session, [row.id for row in rows], reason=None, **where)
    await journal.write_steps(session, [journal.Step(row.id, "included", "included", where) for row in rows], now)


async def note_confirmed(session: Session, *, settlement_id: UUID, place: Place) -> None:
    """The block is N deep: ledger lines, `minted`, and the event, in this one unit of work. A second call is idle."""
    settlement = await payouts.lock_settlement(session, settlement_id)
    if settlement.status in _OVER:
        return
    await payouts.update_settlement(session, settlement_id, status="minted", **asdict(place))
    await mint_settlement(session, settlement_id, place)


async def mint_settlement(session: Session, settlement_id: UUID, place: Place) -> None:
    """Book a settlement's rewards as paid and say so; those of transactions refunded in full are reversed at once."""
    rows = await _lock_rows(session, settlement_id)
    now = utc_now()
    entries, steps = [], []
    for row in rows:
        net_wei = row.amount_wei - row.offset_wei
        entries.append(ledger.Entry(Code.OFFSET, -row.offset_wei, row))
        entries.append(ledger.Entry(Code.MINT, net_wei, row, place.block_number))
        if row.offset_wei:
            steps.append(journal.Step(row.id, "offset", "offset", {"offset_wei": str(row.offset_wei)}))
        steps.append(journal.Step(row.id, "minted", "minted", asdict(place) | {"minted_wei": str(net_wei)}))
        journal.tell_minted(session, row, minted_wei=net_wei, place=place, at=now)
    await ledger.insert_entries(session, entries, now)
    await rewards.mark_minted(session, settlement_id, minted_at=now, **asdict(place))
    await journal.write_steps(session, steps, now)
    await reverse_refunded(session, rows, now)


async def note_unconfirmed(session: Session, *, settlement_id: UUID) -> None:
    """The block went away: `minted` goes back to `submitted`, and the ledger's lines are booked back."""
    settlement = await payouts.lock_settlement(session, settlement_id)
    if settlement.status not in {"included", "minted"}:
        return
    rows = await _lock_rows(session, settlement_id)
    now = utc_now()
    if settlement.status == "minted":
        await _book_back(session, rows, settlement.block_number, now)
    nowhere = {"chain_tx_hash": None, "block_number": None, "block_hash": None}
    await payouts.update_settlement(session, settlement_id, status="reserved", **nowhere)
    minted = [row.id for row in rows if row.status == Status.MINTED]
    await rewards.update_rewards(session, minted, status=Status.SUBMITTED)
    await rewards.update_rewards(session, [row.id for row in rows], minted_wei=0, minted_at=None, **nowhere)
    steps = [journal.Step(row.id, "reorganised", "reorganised", {"block": settlement.block_number}) for row in rows]
    await journal.write_steps(session, steps, now)


async def _book_back(session: Session, rows: Sequence[Any], block_number: int, now: datetime) -> None:
    entries = []
    for row in rows:
        entries.append(ledger.Entry(Code.MINT, -row.minted_wei, row, block_number))
        entries.append(ledger.Entry(Code.OFFSET, row.offset_wei, row))
    await ledger.insert_entries(session, entries, now)


async def note_failed(session: Session, *, settlement_id: UUID, code: str) -> None:
    """The chain tx was mined and did nothing: the settlement waits to be planned anew, unless it was already."""
    settlement = await payouts.lock_settlement(session, settlement_id)
    if settlement.status in _OVER:
        return
    await payouts.update_settlement(session, settlement_id, status="failed", failure_code=code)
    rows = await _lock_rows(session, settlement_id)
    steps = [journal.Step(row.id, "failed", code) for row in rows]
    await journal.write_steps(session, steps, utc_now())


async def has_failed(session: Session) -> bool:
    """Whether a settlement waits to be planned anew."""
    return any(row.status == "failed" for row in await payouts.list_open(session))


async def replan_failed(session: Session, *, chain_next_id: int) -> bool:
    """Free the rewards of failed settlements once no chain tx is under way that could still take their numbers.

    They go back to the queue and get numbers again from the first freed one on. If the chain has settled that one
    (`chain_next_id` is higher: another signer was faster), what it settled is read back from there before anything
    is reserved.
    """
    state = await payouts.lock_payout_state(session)
    still_open = await payouts.list_open(session)
    if not any(row.status == "failed" for row in still_open):
        return False
    if any(row.status != "failed" for row in still_open) or await list_in_flight(session, LANE):
        return False
    if chain_next_id < still_open[0].first_id:
        return False
    for settlement in still_open:
        await _free(session, settlement)
    await payouts.set_next_seq(session, still_open[0].first_id)
    assert state.next_seq > still_open[0].first_id
    return True


async def _free(session: Session, settlement: Any) -> None:
    rows = await _lock_rows(session, settlement.id)
    now = utc_now()
    for row in rows:
        await facts.add_receivable(session, row.beneficiary_id, row.offset_wei)
    await rewards.update_rewards(
        session,
        [row.id for row in rows],
        status=Status.QUEUED,
        settlement_id=None,
        seq=None,
        payout_address=None,
        offset_wei=0,
        chain_tx_hash=None,
        block_number=None,
        block_hash=None,
    )
    await payouts.update_settlement(session, settlement.id, status="freed")
    await epochs.give_back(session, settlement.epoch_start, settlement.sum_wei)
    await journal.write_steps(session, [journal.Step(row.id, Status.QUEUED, "planned_anew") for row in rows], now)


async def _lock_rows(session: Session, settlement_id: UUID) -> list[Any]:
    seen = await rewards.list_settlement_rewards(session, settlement_id)
    await facts.lock_parties(session, {row.beneficiary_id for row in seen})
    return await rewards.lock_settlement_rewards(session, settlement_id)


def _is_open(row: Any) -> bool:
    return row.status in {Status.QUEUED, Status.SUBMITTED}


def settlement_of(intent: Intent) -> UUID:
    """Which settlement an intent carries."""
    return UUID(intent.reference)
