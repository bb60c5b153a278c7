"""Where unreserved rewards stand: held and why, or queued. Decided by looking, never by remembering."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.eligibility import Situation, Standing, standing
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Status, check_transition
from services.rewards.repository import facts, ledger, rewards
from services.rewards.service import journal
from services.rewards.service.accrual import accrued_step, amounts_of
from services.rewards.service.prices import price_as_of
from services.rewards.service.refunds import apply_refunds, lock_with_beneficiaries
from services.rewards.service.terms import current_parameters, parameters_of


async def review_due_rewards(session: Session, *, limit: int) -> int:
    """Look again at held rewards whose time has come; how many there were."""
    due = await rewards.list_due(session, utc_now(), limit)
    await facts.lock_parties(session, {row.beneficiary_id for row in await rewards.list_by_ids(session, due)})
    for transaction_id in await _unpriced(session, due):
        await price_transaction(session, transaction_id=transaction_id)
    await review_rewards(session, due)
    return len(due)


async def _unpriced(session: Session, reward_ids: Collection[UUID]) -> list[UUID]:
    rows = await rewards.list_by_ids(session, reward_ids)
    return sorted({row.transaction_id for row in rows if row.price_usd_e8 is None and row.transaction_id is not None})


async def price_transaction(session: Session, *, transaction_id: UUID) -> bool:
    """Fix the amounts of a transaction's rewards that waited for a price; False while there is none."""
    recorded = await lock_with_beneficiaries(session, transaction_id)
    if recorded is None:
        return False
    found = [row for row in await rewards.list_rewards_of(session, transaction_id) if row.price_usd_e8 is None]
    price = await price_as_of(session, recorded.completed_at)
    parameters = await parameters_of(session, recorded.parameters_version)
    if not found or price is None or parameters is None:
        return False
    amounts = amounts_of(recorded, [row.side for row in found], parameters, price.usd_e8)
    now = utc_now()
    for row in found:
        await rewards.update_reward(
            session,
            row.id,
            earned_wei=amounts[row.side],
            amount_wei=amounts[row.side],
            price_usd_e8=price.usd_e8,
            price_window=price.window,
            price_source=price.source,
        )
    priced = [row for row in await rewards.list_rewards_of(session, transaction_id) if row.side in amounts]
    await ledger.insert_entries(session, [ledger.Entry(Code.ACCRUAL, row.amount_wei, row) for row in priced], now)
    await journal.write_steps(
        session, [accrued_step(recorded, row, parameters, price, len(priced)) for row in priced], now
    )
    for row in priced:
        journal.tell_accrued(session, row, now)
    await apply_refunds(session, transaction_id)
    return True


async def review_rewards(session: Session, reward_ids: Collection[UUID]) -> None:
    """Decide anew where these rewards stand; numbered, cancelled and paid ones stay as they are."""
    if not reward_ids:
        return
    seen = await rewards.list_by_ids(session, reward_ids)
    await facts.lock_parties(session, {row.beneficiary_id for row in seen})
    locked = await rewards.lock_rewards(session, reward_ids)
    open_rows = [
        row for row in locked.values() if row.status in {Status.HELD, Status.QUEUED} and row.settlement_id is None
    ]
    now = utc_now()
    situations = await _situations(session, open_rows, now)
    for row in open_rows:
        await _apply(session, row, standing(situations[row.id], now), now)


async def _situations(session: Session, rows: Sequence[Any], now: datetime) -> dict[UUID, Situation]:
    members = {row.beneficiary_id for row in rows}
    wallets = await facts.list_wallets(session, members, now)
    without = members - wallets.keys()
    coming = await facts.list_next_wallets(session, without, now) if without else {}
    enough = await _reach_minimum(session, rows, now)
    return {
        row.id: Situation(
            amount_wei=row.amount_wei,
            has_price=row.price_usd_e8 is not None or row.kind != "connector",
            is_verified=row.is_verified,
            hold_ends_at=row.hold_ends_at,
            payout_address=wallets.get(row.beneficiary_id),
            next_wallet_at=coming.get(row.beneficiary_id),
            reaches_minimum=enough.get(row.beneficiary_id, True),
            earned_at=row.created_at,
        )
        for row in rows
    }


async def _reach_minimum(session: Session, rows: Sequence[Any], now: datetime) -> Mapping[UUID, bool]:
    """Member → whether all that waits for payment together is worth a payment."""
    minimum = (await current_parameters(session, now)).min_payout_wei
    if minimum == 0 or not rows:
        return {}
    members = {row.beneficiary_id for row in rows}
    totals = await rewards.unpaid_totals(session, members)
    for row in rows:
        is_counted = row.status == Status.QUEUED or row.reason == Reason.BELOW_MINIMUM
        totals[row.beneficiary_id] = totals.get(row.beneficiary_id, 0) + (0 if is_counted else row.amount_wei)
    enough = {member: totals.get(member, 0) >= minimum for member in members}
    await rewards.wake_below_minimum(session, [member for member, reached in enough.items() if reached], now)
    return enough


async def hold_reward(session: Session, row: Any, *, reason: Reason, check_at: datetime | None, now: datetime) -> None:
    """Hold a locked, unreserved reward for a reason only the planner can know."""
    await _apply(session, row, Standing(Status.HELD, reason, check_at), now)


async def _apply(session: Session, row: Any, decided: Standing, now: datetime) -> None:
    if (row.status, row.reason, row.check_at) == (decided.status, decided.reason, decided.check_at):
        return
    is_news = (row.status, row.reason) != (decided.status, decided.reason)
    check_transition(Status(row.status), decided.status)
    queued_at = (row.queued_at or now) if decided.status == Status.QUEUED else row.queued_at
    await rewards.update_reward(
        session,
        row.id,
        status=decided.status,
        reason=decided.reason,
        check_at=decided.check_at,
        queued_at=queued_at,
    )
    if decided.status == Status.CANCELLED and row.amount_wei:  # it lapsed: what was promised is the network's again
        await ledger.insert_entries(session, [ledger.Entry(Code.CANCEL, -row.amount_wei, row)], now)
    if is_news:
        step = journal.Step(row.id, decided.status, decided.reason or decided.status)
        await journal.write_steps(session, [step], now)
        _tell(session, row, decided, now)


def _tell(session: Session, row: Any, decided: Standing, now: datetime) -> None:
    if decided.status == Status.HELD and decided.reason is not None:
        journal.tell_held(session, row, decided.reason, now)
    elif decided.status == Status.CANCELLED and decided.reason is not None:
        journal.tell_cancelled(session, row, decided.reason, now)
