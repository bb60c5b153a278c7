"""Grants: BTRST that token holders voted to a contributor becomes a reward of its own."""

from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

from chassis.clock import utc_now
from chassis.db import Session
from services.rewards.domain.facts import reward_id
from services.rewards.domain.ledger import Code
from services.rewards.domain.states import Reason, Status
from services.rewards.repository import facts, ledger, rewards
from services.rewards.service import journal


async def record_grant(
    session: Session, *, grant_id: UUID, beneficiary_id: UUID, amount_wei: int, approved_at: datetime
) -> None:
    """Make the grant's reward. It is held `unverified`: nothing is paid on the word of an event alone."""
    identifier = reward_id(
        kind="grant",
        source=grant_id.bytes + beneficiary_id.bytes + str(amount_wei).encode(),
        side="none",
        earned_at=approved_at,
    )
    await facts.lock_parties(session, {beneficiary_id})
    if await rewards.find_source(session, source_kind="grant", source_id=grant_id) is not None:
        return
    now = utc_now()
    row = SimpleNamespace(
        id=identifier,
        source_kind="grant",
        source_id=grant_id,
        side="none",
        kind="grant",
        beneficiary_id=beneficiary_id,
        transaction_id=None,
        status=Status.HELD if amount_wei else Status.CANCELLED,
        reason=Reason.UNVERIFIED if amount_wei else Reason.ZERO_AMOUNT,
        earned_wei=amount_wei,
        amount_wei=amount_wei,
        price_usd_e8=None,
        hold_ends_at=approved_at,
        created_at=now,
    )
    await rewards.insert_rewards(session, [vars(row)])
    await ledger.insert_entries(session, [ledger.Entry(Code.ACCRUAL, amount_wei, row)], now)
    steps = [journal.Step(row.id, "accrued", "accrued", {"amount_wei": str(amount_wei)})]
    steps.append(journal.Step(row.id, row.status, row.reason))
    await journal.write_steps(session, steps, now)
    journal.tell_accrued(session, row, now)
    if row.status == Status.HELD:
        journal.tell_held(session, row, Reason.UNVERIFIED, now)
