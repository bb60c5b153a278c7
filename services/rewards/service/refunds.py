"""Refunds: before a reward is reserved they reduce or cancel it; afterwards they become a debt of its beneficiary."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from chassis.telemetry import log
from services.rewards.domain.amounts import clawback, rewards_after_refunds
from services.rewards.domain.facts import Refunded, RefundFacts
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Recording, Status, Verification
from services.rewards.repository import facts, ledger, rewards, transactions
from services.rewards.service import journal
from services.rewards.service.dead_letters import CONTRADICTING_REFUND, dead_letter
from services.rewards.service.terms import parameters_of


async def record_refund(session: Session, *, told: RefundFacts, event: Mapping[str, Any]) -> None:
    """Keep the refund until the jobs service has confirmed it: nothing takes effect on the word of an event.

    A second telling changes nothing; one that contradicts the first is dead-lettered.
    """
    pending = {"verification": Verification.PENDING, "verify_at": utc_now(), "event": dict(event)}
    if await transactions.insert_refund(session, **asdict(told), **pending):
        return
    recorded = await transactions.lock_refund(session, told.transaction_id, told.refund_id)
    assert recorded is not None, "refunds are never deleted"
    if refund_facts_of(recorded) == told:
        return
    if recorded.verification == Verification.FORGED:
        await transactions.update_refund(session, told.transaction_id, told.refund_id, **asdict(told), **pending)
        return
    log.warning("contradicting_refund", refund_id=str(told.refund_id))
    dead_letter(session, told.transaction_id, event, CONTRADICTING_REFUND)


def refund_facts_of(row: Any) -> RefundFacts:
    """The facts in a recorded refund's row."""
    return RefundFacts(**{name: getattr(row, name) for name in RefundFacts.__dataclass_fields__})


async def lock_with_beneficiaries(session: Session, transaction_id: UUID) -> Any | None:
    """The recorded transaction, locked, and before it the members who earn on it: always in this order."""
    found = await rewards.list_rewards_of(session, transaction_id)
    await facts.lock_parties(session, {row.beneficiary_id for row in found})
    return await transactions.lock_transaction(session, transaction_id)


async def note_refunded(session: Session, transaction_id: UUID, refunded: Refunded) -> None:
    """Let what the jobs service says has gone back of the transaction take effect on its rewards, if it has any."""
    await transactions.raise_refunded(session, transaction_id, cents=refunded.cents, fee_cents=refunded.fee_cents)
    recorded = await transactions.lock_transaction(session, transaction_id)
    if recorded is not None and recorded.status == Recording.ACCRUED:
        await apply_refunds(session, transaction_id)


async def apply_refunds(session: Session, transaction_id: UUID) -> None:
    """Bring the transaction's rewards to what the formula gives on what confirmed refunds have left of it.

    Cumulative: calling it again, or with refunds in another order, ends the same. Source: the network's rule 6.
    """
    recorded = await lock_with_beneficiaries(session, transaction_id)
    assert recorded is not None, "rewards of a transaction are made from its row"
    if recorded.refunded_cents == 0:
        return
    found = await rewards.list_rewards_of(session, transaction_id)
    locked = await rewards.lock_rewards(session, [row.id for row in found])
    entitled = await _entitled(session, recorded, list(locked.values()))
    is_full = recorded.refunded_cents >= recorded.amount_cents
    now = utc_now()
    for row in locked.values():
        if row.price_usd_e8 is not None:
            await _settle_refund(session, row, entitled[row.side], now, is_full=is_full)


async def _entitled(session: Session, recorded: Any, rows: list[Any]) -> dict[str, int]:
    priced = [row for row in rows if row.price_usd_e8 is not None]
    if not priced:
        return {}
    parameters = await parameters_of(session, recorded.parameters_version)
    assert parameters is not None, "rewards are made only with their parameters version known"
    found = rewards_after_refunds(
        amount_cents=recorded.amount_cents,
        client_fee_cents=recorded.client_fee_cents,
        total_refunded_cents=recorded.refunded_cents,
        total_client_fee_refunded_cents=recorded.fee_refunded_cents,
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


async def reverse_refunded(session: Session, paid: Sequence[Any], now: datetime) -> None:
    """Reverse those of the rewards paid just now of which refunds had taken back everything before."""
    for row in paid:
        if row.clawed_back_wei == row.amount_wei:
            await reverse(session, row, now)


async def reverse(session: Session, row: Any, now: datetime) -> None:
    """A minted reward's transaction was refunded in full: say so; the debt is booked already."""
    await rewards.update_reward(session, row.id, status=Status.REVERSED)
    await journal.write_steps(session, [journal.Step(row.id, Status.REVERSED, Status.REVERSED)], now)
    journal.tell_reversed(session, row, now)
