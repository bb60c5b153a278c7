"""Refunds: before a reward is reserved they reduce or cancel it; afterwards they become a debt of its beneficiary."""

from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.amounts import clawback, rewards_after_refunds
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Recording, Status
from services.rewards.repository import facts, ledger, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.terms import parameters_of


async def record_refund(
    session: Session,
    *,
    refund_id: UUID,
    transaction_id: UUID,
    refunded_cents: int,
    total_refunded_cents: int,
    client_fee_refunded_cents: int,
    total_client_fee_refunded_cents: int,
    refunded_at: datetime,
) -> None:
    """Keep the refund, and apply it if its transaction's rewards exist; otherwise they will start from it."""
    recorded = await transactions.lock_transaction(session, transaction_id)
    is_new = await transactions.insert_refund(
        session,
        refund_id=refund_id,
        transaction_id=transaction_id,
        refunded_cents=refunded_cents,
        total_refunded_cents=total_refunded_cents,
        client_fee_refunded_cents=client_fee_refunded_cents,
        total_client_fee_refunded_cents=total_client_fee_refunded_cents,
        refunded_at=refunded_at,
    )
    if is_new and recorded is not None and recorded.status == Recording.ACCRUED:
        await apply_refunds(session, transaction_id)


async def apply_refunds(session: Session, transaction_id: UUID) -> None:
    """Bring the transaction's rewards to what the formula gives on what refunds have left of it.

    Cumulative: calling it again, or with refunds in another order, ends the same. Source: the network's rule 6.
    """
    cents, fee_cents = await transactions.refund_totals(session, transaction_id)
    if cents == 0:
        return
    found = await rewards.list_rewards_of(session, transaction_id)
    owing = await facts.lock_parties(session, {row.beneficiary_id for row in found})
    locked = await rewards.lock_rewards(session, [row.id for row in found])
    recorded = await transactions.lock_transaction(session, transaction_id)
    assert recorded is not None, "rewards of a transaction are made from its row"
    entitled = await _entitled(session, recorded, [locked[row.id] for row in found], cents, fee_cents)
    now = utc_now()
    for row in (locked[row.id] for row in found):
        if row.price_usd_e8 is not None:
            await _settle_refund(session, row, entitled[row.side], now, is_full=cents >= recorded.amount_cents)
    assert owing.keys() >= {row.beneficiary_id for row in found}


async def _entitled(session: Session, recorded: Any, rows: list[Any], cents: int, fee_cents: int) -> dict[str, int]:
    priced = [row for row in rows if row.price_usd_e8 is not None]
    if not priced:
        return {}
    parameters = await parameters_of(session, recorded.parameters_version)
    assert parameters is not None, "rewards are made only with their parameters version known"
    found = rewards_after_refunds(
        amount_cents=recorded.amount_cents,
        client_fee_cents=recorded.client_fee_cents,
        total_refunded_cents=cents,
        total_client_fee_refunded_cents=fee_cents,
        connector_reward_bps=parameters.connector_reward_bps,
        price_usd_e8=priced[0].price_usd_e8,
        sides=[row.side for row in priced],
    )
    return {str(side): wei for side, wei in found.items()}


async def _settle_refund(session: Session, row: Any, entitled_wei: int, now: datetime, *, is_full: bool) -> None:
    if row.settlement_id is None and row.status in {Status.HELD, Status.QUEUED}:
        await _reduce(session, row, entitled_wei, now)
    elif row.status in {Status.QUEUED, Status.SUBMITTED, Status.MINTED}:
        await _claw_back(session, row, entitled_wei, now)
        if is_full and row.status == Status.MINTED:
            await reverse(session, row, now)


async def _reduce(session: Session, row: Any, entitled_wei: int, now: datetime) -> None:
    # a refund that met an earlier settlement of this reward, which failed, is a debt already: never take it twice
    cut = clawback(earned_wei=row.amount_wei, entitled_wei=entitled_wei, clawed_back_wei=row.clawed_back_wei)
    if cut <= 0:
        return
    left_wei = row.amount_wei - cut
    await ledger.insert_entries(session, [ledger.Entry(Code.CANCEL, -cut, row)], now)
    data = {"amount_wei": str(-cut), "left_wei": str(left_wei)}
    steps = [journal.Step(row.id, "refund", "reduced", data)]
    values: dict[str, Any] = {"amount_wei": left_wei}
    if left_wei == 0:
        values |= {"status": Status.CANCELLED, "reason": Reason.ZERO_AMOUNT, "check_at": None}
        steps.append(journal.Step(row.id, Status.CANCELLED, Reason.ZERO_AMOUNT))
        journal.tell_cancelled(session, row, Reason.ZERO_AMOUNT, now)
    await rewards.update_reward(session, row.id, **values)
    await journal.write_steps(session, steps, now)


async def _claw_back(session: Session, row: Any, entitled_wei: int, now: datetime) -> None:
    taken = clawback(earned_wei=row.amount_wei, entitled_wei=entitled_wei, clawed_back_wei=row.clawed_back_wei)
    if taken == 0:
        return
    await ledger.insert_entries(session, [ledger.Entry(Code.REFUND, -taken, row)], now)
    await facts.add_receivable(session, row.beneficiary_id, taken)
    await rewards.update_reward(session, row.id, clawed_back_wei=row.clawed_back_wei + taken)
    data = {"amount_wei": str(-taken), "entitled_wei": str(entitled_wei)}
    await journal.write_steps(session, [journal.Step(row.id, "refund", "clawed_back", data)], now)


async def reverse(session: Session, row: Any, now: datetime) -> None:
    """A minted reward's transaction was refunded in full: say so; the debt is booked already."""
    await rewards.update_reward(session, row.id, status=Status.REVERSED)
    await journal.write_steps(session, [journal.Step(row.id, Status.REVERSED, Status.REVERSED)], now)
    journal.tell_reversed(session, row, now)
